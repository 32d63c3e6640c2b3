//! The files that `hotworkd init` makes for a new deployment. What is there already is left alone.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::domain::name::{Issuer, OperatorName, TrustDomain};

const DAEMON: &str = include_str!("../../config/hotworkd.toml");

/// What a new deployment is made of.
#[derive(Clone, Copy, Debug)]
pub struct Starter<'a> {
    /// The SPIFFE trust domain.
    pub trust_domain: &'a TrustDomain,
    /// The issuer of tokens.
    pub issuer: &'a Issuer,
    /// Journal, index and keys.
    pub state_dir: &'a Path,
    /// The directory of configuration and registry.
    pub config_dir: &'a Path,
    /// The file with the keys' passphrase.
    pub passphrase_file: Option<&'a Path>,
    /// The uid that is the first operator.
    pub uid: u32,
    /// The first operator's name.
    pub operator: &'a OperatorName,
}

impl Starter<'_> {
    /// Writes what is missing, and gives the paths it wrote.
    ///
    /// # Errors
    /// When a directory or file can't be made.
    pub fn write(&self) -> io::Result<Vec<PathBuf>> {
        for directory in ["agents", "apis", "playbooks", "policies"] {
            fs::create_dir_all(self.config_dir.join(directory))?;
        }
        let files = [("hotworkd.toml", self.daemon()), ("operators.toml", self.operators())];
        let mut written = Vec::new();
        for (name, text) in files {
            let path = self.config_dir.join(name);
            if write_new(&path, &text)? {
                written.push(path);
            }
        }
        Ok(written)
    }

    /// The documented configuration, with this deployment's values in the place of the example's.
    fn daemon(&self) -> String {
        let state = self.state_dir.display().to_string();
        let mut text = DAEMON
            .replace("trust_domain = \"example.org\"", &line("trust_domain", self.trust_domain.as_str()))
            .replace("issuer = \"https://hotwork.example.org\"", &line("issuer", self.issuer.as_str()))
            .replace("state_dir = \"/var/lib/hotwork\"", &line("state_dir", &state))
            .replace(
                "registry_dir = \"/etc/hotwork\"",
                &line("registry_dir", &self.config_dir.display().to_string()),
            );
        if let Some(file) = self.passphrase_file {
            let example = "#passphrase_file = \"/run/credentials/hotworkd.service/passphrase\"";
            text = text.replace(example, &line("passphrase_file", &file.display().to_string()));
        }
        text
    }

    fn operators(&self) -> String {
        format!(
            "# Who may see, revoke and reload: each operator is a uid on the admin socket.\n\
             # Roles: viewer, revoker, approver, responder, admin. Every role sees.\n\n\
             [[operator]]\nname = \"{}\"\nuid = {}\nroles = [\"admin\", \"revoker\", \"viewer\"]\n",
            self.operator, self.uid
        )
    }
}

/// `key = "value"` in TOML.
fn line(key: &str, value: &str) -> String {
    format!("{key} = {}", toml::Value::String(value.to_owned()))
}

/// Writes a file that is not there yet; says whether it did.
fn write_new(path: &Path, text: &str) -> io::Result<bool> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            path.parent().map_or(Ok(()), |parent| fs::File::open(parent)?.sync_all())?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, registry};
    use crate::domain::agent::Day;

    #[test]
    fn a_new_deployment_passes_its_own_check_and_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (state, config) = (dir.path().join("a \"quoted\" state"), dir.path().join("config"));
        let trust_domain = "prod.example".parse().unwrap();
        let issuer = "https://hotwork.prod.example".parse().unwrap();
        let starter = Starter {
            trust_domain: &trust_domain,
            issuer: &issuer,
            state_dir: &state,
            config_dir: &config,
            passphrase_file: Some(Path::new("/run/secret")),
            uid: 7,
            operator: &"root".parse().unwrap(),
        };
        assert_eq!(starter.write().unwrap().len(), 2);
        let loaded = Config::load(&config.join("hotworkd.toml")).unwrap();
        assert_eq!((loaded.trust_domain, loaded.issuer), (trust_domain.clone(), issuer.clone()));
        assert_eq!((loaded.state_dir, loaded.registry_dir), (state.clone(), config.clone()));
        assert_eq!(loaded.passphrase_file.as_deref(), Some(Path::new("/run/secret")));
        let registry = registry::load(&config, &trust_domain, &issuer, Day(20_000)).unwrap();
        assert!(registry.registry.operator_by_uid(7).is_some());
        assert_eq!(starter.write().unwrap().len(), 0, "what is there is left alone");
    }
}

//! The registry's files: which are read, in which order, within which bounds, and the digest of them all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::file;
use crate::config::problem::{Gathered, Place};
use crate::domain::digest::Digest;
use crate::domain::limits::{REGISTRY_BYTES_MAX, REGISTRY_FILES_MAX};
use crate::domain::registry_files::{self, RegistryFile, RegistryFiles};

/// One file, read.
pub(super) struct Text {
    /// Where it is, for messages.
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Its name in the registry, such as `apis/demo.toml`.
    name: String,
}

/// All files of a registry, each kind sorted by name.
#[derive(Default)]
pub(super) struct Files {
    pub(super) apis: Vec<Text>,
    pub(super) agents: Vec<Text>,
    pub(super) operators: Vec<Text>,
    pub(super) playbooks: Vec<Text>,
    pub(super) policies: Vec<Text>,
}

impl Files {
    /// The texts by their names; one whose name is none of a registry's is left out.
    pub(super) fn of(texts: BTreeMap<String, String>) -> Self {
        let mut files = Self::default();
        for (name, text) in texts {
            let kind = match name.split_once('/').map_or(name.as_str(), |(kind, _)| kind) {
                "agents" => &mut files.agents,
                "apis" => &mut files.apis,
                "operators.toml" => &mut files.operators,
                "playbooks" => &mut files.playbooks,
                "policies" => &mut files.policies,
                _ => continue,
            };
            kind.push(Text { path: PathBuf::from(&name), text, name });
        }
        files
    }

    pub(super) fn read(dir: &Path, gathered: &Gathered) -> Self {
        let mut files = Self::default();
        let root = match fs::canonicalize(dir) {
            Ok(root) => root,
            Err(error) => {
                gathered.error(Place::file(dir), format!("the registry directory can't be opened: {error}"));
                return files;
            }
        };
        refuse_writable(dir, gathered);
        let mut reader = Reader { root: &root, gathered, bytes: 0 };
        files.apis = reader.directory(dir, "apis", "toml");
        files.agents = reader.directory(dir, "agents", "toml");
        let operators = dir.join("operators.toml");
        // A directory that was emptied, or is not mounted, must not become the registry in force.
        if operators.symlink_metadata().is_err() {
            let message = "is not there, so nobody could revoke, reload or open anything; an empty file says that it is meant";
            gathered.error(Place::file(&operators), message);
        }
        files.operators = reader.file(operators, "operators.toml".to_owned()).into_iter().collect();
        files.playbooks = reader.directory(dir, "playbooks", "toml");
        files.policies = reader.directory(dir, "policies", "cedar");
        files
    }

    /// [`RegistryFiles::digest`] of them.
    pub(super) fn digest(&self) -> Digest {
        registry_files::digest(self.all().map(|file| (file.name.as_str(), file.text.as_str())))
    }

    /// What is sealed.
    pub(super) fn sealable(&self) -> RegistryFiles {
        let file = |file: &Text| RegistryFile { name: file.name.clone(), text: file.text.clone() };
        RegistryFiles(self.all().map(file).collect())
    }

    fn all(&self) -> impl Iterator<Item = &Text> {
        let all = [&self.apis, &self.agents, &self.operators, &self.policies, &self.playbooks];
        all.into_iter().flatten()
    }
}

struct Reader<'a> {
    root: &'a Path,
    gathered: &'a Gathered,
    bytes: u64,
}

impl Reader<'_> {
    /// The files `dir/kind/*.extension`. A directory that is not there is an empty one.
    fn directory(&mut self, dir: &Path, kind: &str, extension: &str) -> Vec<Text> {
        let at = dir.join(kind);
        match fs::read_dir(&at) {
            Ok(entries) => {
                refuse_writable(&at, self.gathered);
                let names = self.names(&at, entries, extension);
                names
                    .into_iter()
                    .filter_map(|name| self.file(at.join(&name), format!("{kind}/{name}")))
                    .collect()
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.gathered.error(Place::file(&at), format!("the directory can't be read: {error}"));
                Vec::new()
            }
        }
    }

    /// Names that count, sorted. Hidden ones are left alone; any other that does not count is pointed out.
    fn names(&self, at: &Path, entries: fs::ReadDir, extension: &str) -> Vec<String> {
        let mut names = Vec::new();
        for entry in entries {
            let name = match entry.map(|entry| entry.file_name().into_string()) {
                Ok(Ok(name)) => name,
                Ok(Err(name)) => {
                    self.gathered.error(Place::file(&at.join(name)), "the name is not UTF-8");
                    continue;
                }
                Err(error) => {
                    self.gathered.error(Place::file(at), format!("the directory can't be read: {error}"));
                    continue;
                }
            };
            if name.starts_with('.') {
                continue;
            }
            if Path::new(&name).extension().is_some_and(|found| found == extension) {
                names.push(name);
            } else {
                self.gathered.warning(
                    Place::file(&at.join(&name)),
                    format!("is not read: its name does not end in `.{extension}`"),
                );
            }
        }
        names.sort();
        if names.len() > REGISTRY_FILES_MAX {
            self.gathered.error(
                Place::file(at),
                format!("at most {REGISTRY_FILES_MAX} files, found `{}`", names.len()),
            );
            names.clear();
        }
        names
    }

    fn file(&mut self, path: PathBuf, name: String) -> Option<Text> {
        let target = match fs::canonicalize(&path) {
            Ok(target) => target,
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && path.symlink_metadata().is_err() =>
            {
                return None;
            }
            Err(error) => {
                self.gathered.error(Place::file(&path), format!("can't be opened: {error}"));
                return None;
            }
        };
        // A link inside is how some systems swap configuration; one that leads out is not reviewed with the rest.
        if !target.starts_with(self.root) {
            self.gathered.error(
                Place::file(&path),
                format!("is a link out of the registry, to `{}`", target.display()),
            );
            return None;
        }
        let text = file::read(&path, self.gathered)?;
        self.bytes = self.bytes.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        if self.bytes > REGISTRY_BYTES_MAX {
            self.gathered.error(
                Place::file(&path),
                format!("the registry's files are more than {REGISTRY_BYTES_MAX} bytes together"),
            );
            return None;
        }
        Some(Text { path, text, name })
    }
}

fn refuse_writable(dir: &Path, gathered: &Gathered) {
    if let Some(objection) = fs::metadata(dir).ok().and_then(|facts| file::writable_by_all(&facts)) {
        gathered.error(Place::file(dir), format!("the directory {objection}"));
    }
}

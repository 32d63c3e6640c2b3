//! SSH keys and signatures as people make them: with `ssh-keygen`. Security keys are made in software, byte for byte
//! what the hardware's would be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A key in files, as `ssh-keygen` makes it.
pub struct KeyPair {
    pub private: PathBuf,
}

impl KeyPair {
    /// A new key of a type that `ssh-keygen -t` knows.
    pub fn new(dir: &Path, name: &str, kind: &[&str]) -> Self {
        let private = dir.join(name);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", name, "-t"]).args(kind).arg("-f").arg(&private);
        assert!(command.status().expect("`ssh-keygen` of OpenSSH").success());
        Self { private }
    }

    pub fn ed25519(dir: &Path, name: &str) -> Self {
        Self::new(dir, name, &["ed25519"])
    }

    /// The line for `ssh_keys`.
    pub fn public(&self) -> String {
        std::fs::read_to_string(self.private.with_extension("pub")).unwrap().trim().to_owned()
    }

    /// `ssh-keygen -Y sign` over the text.
    pub fn sign(&self, namespace: &str, text: &str) -> String {
        self.sign_with(namespace, text, &[])
    }

    pub fn sign_with(&self, namespace: &str, text: &str, options: &[&str]) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", namespace]).args(options).arg("-f").arg(&self.private);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("`ssh-keygen` of OpenSSH");
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    }
}

/// An SSH `string`.
pub fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

pub fn strings(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| string(part)).collect()
}

/// The signature's text around its bytes.
pub fn armored(blob: &[u8]) -> String {
    let base64 = STANDARD.encode(blob);
    let lines: Vec<&str> =
        base64.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
}

/// The bytes of an armored signature.
pub fn opened(armored: &str) -> Vec<u8> {
    let base64: String = armored.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(base64).unwrap()
}

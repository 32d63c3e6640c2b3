//! Signing with ssh-keygen: it finds keys in files, agents and security keys, and asks for passphrases and touches.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::consent;
use super::failure::{Exit, Failure};
use super::files::{self, Private};
use super::output::Screen;
use super::text::clean;
use crate::domain::limits::SSH_SIGNATURE_BYTES_MAX;
use crate::domain::statement::Namespace;

/// The signature over `text` with the key of `file`, once whoever runs this has seen it and said yes, on a terminal or
/// with --yes.
///
/// # Errors
/// When they did not, or ssh-keygen does not sign.
pub async fn sign(
    screen: &Screen,
    namespace: Namespace,
    text: &str,
    file: &Path,
    yes: bool,
) -> Result<String, Failure> {
    consent::ask(screen, text, yes)?;
    let private = Private::new(&[std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)])?;
    let name = "statement.txt";
    private.folder().write(name, text.as_bytes())?;
    let path = private.folder().path_of(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", namespace.as_str(), "-f"]).arg(file).arg(&path);
    // Its standard output is not ours: data of this command are the broker's answers.
    command.stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let status = command.status().await.map_err(|error| {
        Failure::new(Exit::Failed, "ssh-keygen", format!("cannot run ssh-keygen: {error}"))
            .hint("install OpenSSH 8.2 or newer, or have the text printed or written, and sign it elsewhere")
    })?;
    if !status.success() {
        let key = clean(&file.to_string_lossy());
        return Err(Failure::new(
            Exit::Failed,
            "ssh-keygen",
            format!("ssh-keygen could not sign with `{key}`"),
        )
        .hint("check the key with `ssh-keygen -l -f KEY`; for a key in an agent give its public half"));
    }
    let signature = files::read(&path.with_extension("txt.sig"), SSH_SIGNATURE_BYTES_MAX)?;
    String::from_utf8(signature.to_vec()).map_err(|_| {
        Failure::new(Exit::Failed, "ssh-keygen", "ssh-keygen wrote no signature").hint("report this")
    })
}

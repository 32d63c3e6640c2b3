//! Signing with ssh-keygen: it finds keys in files, agents and security keys, and asks for passphrases and touches.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::submit;
use crate::cli::args::glass::{Key, StatementId};
use crate::cli::client::Context;
use crate::cli::consent::{self, Wanted};
use crate::cli::duration::now;
use crate::cli::failure::{Exit, Failure};
use crate::cli::files::{self, Private};
use crate::cli::text::clean;
use crate::domain::limits::{SSH_SIGNATURE_BYTES_MAX, STATEMENT_ID_DIGITS_MIN};
use crate::domain::statement::Namespace;
use crate::proto::v1;

/// Signs a text that somebody has signed before.
pub(super) async fn again(context: &Context, id: &StatementId, key: &Key) -> Result<(), Failure> {
    let mut client = context.break_glass().await?;
    let answer = context.call(client.list(context.request(v1::ListRequest {}))).await?;
    let mut found = answer.proposals.iter().filter(|proposal| id.begins(&proposal.statement_id));
    let (proposal, other) = (found.next(), found.next());
    let (Some(proposal), None) = (proposal, other) else {
        let message = format!("no one statement that can be signed begins with `{}`", id.as_str());
        return Err(Failure::new(Exit::Failed, "statement-unknown", message)
            .hint("`hotwork break-glass list` shows what can be signed"));
    };
    let text = &proposal.statement;
    let screen = &context.screen;
    let timing = consent::to_break_glass(text, &Wanted::Prepared(id), key.trust_domain.as_ref(), now())?;
    timing.accept(screen, key.yes)?;
    if let Some(file) = &key.statement_file {
        consent::show(screen, text);
        std::fs::write(file, text).map_err(|error| Failure::file("write", file, &error))?;
        return screen.data(&format!("{}\n", clean(&file.to_string_lossy())));
    }
    let Some(file) = &key.ssh_key else {
        consent::show(screen, text);
        return Err(Failure::usage("--ssh-key says which key signs")
            .hint("or write the text to a file with --statement, and send it with `break-glass send`"));
    };
    if !key.yes && !screen.interactive {
        consent::show(screen, text);
        return Err(
            Failure::usage("not signed").hint("read the text, then run it on a terminal, or give --yes")
        );
    }
    if key.yes && id.as_str().len() < STATEMENT_ID_DIGITS_MIN {
        let message =
            format!("with --yes the id needs {STATEMENT_ID_DIGITS_MIN} digits, got `{}`", id.as_str());
        return Err(Failure::usage(message)
            .hint("nobody reads the text then, and a short id could be another text's"));
    }
    consent::ask(screen, text, key.yes)?;
    let signature = with_key(text, file).await?;
    submit(context, &mut client, text, signature).await
}

/// The signature over `text` with the key of `file`.
pub(super) async fn with_key(text: &str, file: &Path) -> Result<String, Failure> {
    let private = Private::new(&[std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)])?;
    let name = "statement.txt";
    private.folder().write(name, text.as_bytes())?;
    let path = private.folder().path_of(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-Y", "sign", "-n", Namespace::BreakGlass.as_str(), "-f"]).arg(file).arg(&path);
    // Its standard output is not ours: data of this command are the broker's answers.
    command.stdin(Stdio::inherit()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let status = command.status().await.map_err(|error| {
        Failure::new(Exit::Failed, "ssh-keygen", format!("cannot run ssh-keygen: {error}"))
            .hint("install OpenSSH, or sign elsewhere: --statement writes the text to a file")
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

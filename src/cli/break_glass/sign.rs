//! The second signature and every further one, on a text that somebody else has prepared.

use super::submit;
use crate::cli::args::glass::{Key, StatementId};
use crate::cli::client::Context;
use crate::cli::consent::{self, Wanted};
use crate::cli::duration::now;
use crate::cli::failure::{Exit, Failure};
use crate::cli::signing::sign;
use crate::cli::text::clean;
use crate::domain::limits::STATEMENT_ID_DIGITS_MIN;
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
    let signer = &key.signer;
    let timing = consent::to_break_glass(text, &Wanted::Prepared(id), signer.trust_domain.as_ref(), now())?;
    timing.doubted(answer.clock_doubted_since.as_ref(), now()).accept(screen, signer.yes)?;
    if let Some(file) = &key.statement_file {
        consent::show(screen, text);
        std::fs::write(file, text).map_err(|error| Failure::file("write", file, &error))?;
        return screen.data(&format!("{}\n", clean(&file.to_string_lossy())));
    }
    let Some(file) = &signer.ssh_key else {
        consent::show(screen, text);
        return Err(Failure::usage("--ssh-key says which key signs")
            .hint("or write the text to a file with --statement, and send it with `break-glass send`"));
    };
    if signer.yes && id.as_str().len() < STATEMENT_ID_DIGITS_MIN {
        let message =
            format!("with --yes the id needs {STATEMENT_ID_DIGITS_MIN} digits, got `{}`", id.as_str());
        return Err(Failure::usage(message)
            .hint("nobody reads the text then, and a short id could be another text's"));
    }
    let signature = sign(screen, Namespace::BreakGlass, text, file, signer.yes).await?;
    submit(context, &mut client, text, signature).await
}

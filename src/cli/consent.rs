//! Before a signature: the text is what was asked for, and whoever signs has seen it.
//!
//! The text comes from whoever answers at the endpoint, and a signature is good wherever its text is: a staging broker
//! that answers with production's text would have it signed. So nothing is signed that says something else than the
//! command line, or something for another time.

use super::args::approval::Decide;
use super::args::glass::{Extension, Opening, StatementId};
use super::failure::{Exit, Failure};
use super::output::Screen;
use super::text::{clean, marked};
use crate::domain::approval::{self, Verdict};
use crate::domain::break_glass::text::{Said, What, read};
use crate::domain::limits::{
    APPROVAL_MS, BREAK_GLASS_SECONDS_MAX, PROPOSAL_SECONDS_MAX, SIGNER_CLOCK_SECONDS_MAX,
};
use crate::domain::name::TrustDomain;
use crate::domain::statement::{Statement, Utc, Window};
use crate::domain::wording::counted;
use crate::proto::v1;

/// What a text of break-glass has to say.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// A later end of this session.
    Extension(&'a Extension),
    /// A session, or a drill, of this playbook.
    Opening {
        /// Whether it is a drill.
        drill: bool,
        /// The rest.
        args: &'a Opening,
    },
    /// What somebody has prepared, by its id.
    Prepared(&'a StatementId),
}

/// Whether `text` is what was asked for at `now`, a time in seconds.
///
/// # Errors
/// With the first line that is another one.
pub fn to_break_glass(
    text: &str,
    wanted: &Wanted<'_>,
    trust_domain: Option<&TrustDomain>,
    now: i64,
) -> Result<Timing, Failure> {
    let statement = parsed(text)?;
    let said = read(&statement).ok_or_else(not_ours)?;
    addressed(&statement, trust_domain)?;
    let timing = in_time(&said.window, PROPOSAL_SECONDS_MAX, now)?;
    match wanted {
        // By the text's own clock, which is looked at apart.
        Wanted::Extension(args) => extends(&said, args, said.window.from.seconds())?,
        Wanted::Opening { drill, args } => opens(&said, *drill, args)?,
        Wanted::Prepared(id) => {
            let own = statement.digest().to_string();
            if !id.begins(&own) {
                return Err(differs("its id", &own, id.as_str()));
            }
        }
    }
    Ok(timing)
}

/// Whether a text is for now, by the clock of whoever signs it.
#[derive(Debug)]
#[must_use]
pub enum Timing {
    /// It is.
    Now,
    /// It is for another time, or one of the clocks is wrong.
    Other(Failure),
}

impl Timing {
    /// Also whether the broker's own clock is in doubt: on its host, whoever signs has the same one. `newest` is the time of
    /// its newest entry then.
    pub fn doubted(self, newest: Option<&prost_types::Timestamp>, now: i64) -> Self {
        let (Self::Now, Some(newest)) = (&self, newest) else { return self };
        let utc = |seconds| Utc(crate::domain::time::Timestamp::from_seconds(seconds)).to_string();
        let message = format!(
            "the broker's newest entry is of {}, and its clock, as this machine's, says {}: if that is wrong and is signed, \
             nothing is given until that time has come",
            utc(newest.seconds),
            utc(now)
        );
        Self::Other(Failure::new(Exit::Failed, "clock-doubted", message).hint(
            "nothing was signed. Look at a clock elsewhere. If the time is right: on a terminal, without --yes, you are asked \
             and can go on. If it is not: set the clock right and restart the broker",
        ))
    }

    /// Lets a person at a terminal go on, who is told: in an emergency the clocks can be what is broken.
    ///
    /// # Errors
    /// For everybody else.
    pub fn accept(self, screen: &Screen, yes: bool) -> Result<(), Failure> {
        match self {
            Self::Now => Ok(()),
            Self::Other(failure) if screen.interactive && !yes => {
                screen.note(&format!("CAREFUL: {failure}"));
                Ok(())
            }
            Self::Other(failure) => Err(failure),
        }
    }
}

fn extends(said: &Said, args: &Extension, now: i64) -> Result<(), Failure> {
    let What::Extend(extension) = &said.what else { return Err(differs("asks", kind(&said.what), "extend")) };
    same("session", &extension.session, &args.session)?;
    same("reason", &extension.reason, &args.reason)?;
    let (end, slack) = (extension.until.seconds(), SIGNER_CLOCK_SECONDS_MAX);
    let most = i64::from(args.seconds.unwrap_or(BREAK_GLASS_SECONDS_MAX));
    let least = args.seconds.map_or(0, i64::from);
    if (now + least - slack..=now + most + slack).contains(&end) {
        return Ok(());
    }
    Err(differs(
        "new-end",
        &Utc(extension.until).to_string(),
        &format!("{} from now", counted(u64::try_from(most).unwrap_or_default(), "second", "seconds")),
    ))
}

fn opens(said: &Said, drilling: bool, args: &Opening) -> Result<(), Failure> {
    let asked = if drilling { "drill" } else { "open" };
    same("asks", &kind(&said.what), &asked)?;
    let What::Open { playbook, reason, seconds, ticket, .. } = &said.what else { return Err(not_ours()) };
    same("playbook", playbook, &args.playbook)?;
    same("ticket", ticket, &args.ticket)?;
    same("reason", reason, &args.reason)?;
    if *seconds > BREAK_GLASS_SECONDS_MAX {
        return Err(differs("seconds", &seconds.to_string(), "at most 4 hours"));
    }
    args.seconds.map_or(Ok(()), |asked| same("seconds", seconds, &asked))
}

const fn kind(what: &What) -> &'static str {
    match what {
        What::Extend(_) => "extend",
        What::Open { drill: false, .. } => "open",
        What::Open { drill: true, .. } => "drill",
    }
}

/// Whether the text of an answer is the decision that was asked for, on the request that the answer shows.
///
/// # Errors
/// With the first line that is another one.
pub fn to_approval(
    found: &v1::GetApprovalResponse,
    verdict: v1::ApprovalVerdict,
    args: &Decide,
    now: i64,
) -> Result<Timing, Failure> {
    let statement = parsed(&found.statement)?;
    let said = approval::read(&statement).ok_or_else(not_ours)?;
    addressed(&statement, args.signer.trust_domain.as_ref())?;
    let timing = in_time(&said.window, APPROVAL_MS / 1000, now)?;
    let asked = match verdict {
        v1::ApprovalVerdict::Approve => Verdict::Approve,
        v1::ApprovalVerdict::Deny | v1::ApprovalVerdict::Unspecified => Verdict::Deny,
    };
    same("decision", &said.verdict.as_str(), &asked.as_str())?;
    same("request", &said.id, &args.id)?;
    let reason = |reason: &Option<_>| reason.as_ref().map_or_else(String::new, ToString::to_string);
    same("reason", &reason(&said.reason), &reason(&args.reason))?;
    let shown = found.approval.clone().unwrap_or_default();
    same("request", &said.id, &shown.id)?;
    same("agent", &said.agent, &shown.agent)?;
    same("action", &said.action, &shown.action)?;
    same("resource", &said.resource, &shown.resource)?;
    same("request-sha256", &said.request, &shown.request_sha256)?;
    Ok(timing)
}

fn parsed(text: &str) -> Result<Statement, Failure> {
    text.parse().map_err(|_| not_ours())
}

/// Whether it is for the broker that the caller means, when they say which.
fn addressed(statement: &Statement, trust_domain: Option<&TrustDomain>) -> Result<(), Failure> {
    let said = statement.value("trust-domain").unwrap_or_default();
    trust_domain.map_or(Ok(()), |asked| same("trust-domain", &said, asked))
}

/// Whether it is for now, and for no longer than such a text lasts.
fn in_time(window: &Window, longest: i64, now: i64) -> Result<Timing, Failure> {
    let (from, until) = (window.from.seconds(), window.until.seconds());
    if until <= from || until - from > longest {
        return Err(differs("not-after", &Utc(window.until).to_string(), "a time soon after `not-before`"));
    }
    if from > now + SIGNER_CLOCK_SECONDS_MAX || from + longest + SIGNER_CLOCK_SECONDS_MAX < now {
        let now = Utc(crate::domain::time::Timestamp::from_seconds(now)).to_string();
        return Ok(Timing::Other(differs("not-before", &Utc(window.from).to_string(), &now).hint(
            "the broker's clock, or this machine's, is wrong, or the text is for another time; on a terminal you can \
             look at it and go on",
        )));
    }
    Ok(Timing::Now)
}

fn same(what: &str, said: &impl ToString, asked: &impl ToString) -> Result<(), Failure> {
    let (said, asked) = (said.to_string(), asked.to_string());
    if said == asked { Ok(()) } else { Err(differs(what, &said, &asked)) }
}

fn differs(what: &str, said: &str, asked: &str) -> Failure {
    let message = format!("the broker's text is not what you asked for: {what} is `{said}`, not `{asked}`");
    Failure::new(Exit::Failed, "statement-not-asked", clean(&message)).hint(UNSIGNED)
}

fn not_ours() -> Failure {
    Failure::new(
        Exit::Failed,
        "statement-not-asked",
        "the broker sent a text that is none of what you asked for",
    )
    .hint(UNSIGNED)
}

const UNSIGNED: &str =
    "nothing was signed: find out who answers at this endpoint, and tell those who run the broker";

/// Shows what is signed. A value that is longer than the terminal is wide goes on below its line, indented: an agent can
/// have a say in it, and it must not look like a line of its own.
pub fn show(screen: &Screen, text: &str) {
    screen.note(marked(text, screen.columns(), ("", "      ")).trim_end());
}

/// Shows what is signed, and asks whoever is at a terminal. Where nobody is, --yes has to say it beforehand.
///
/// # Errors
/// When the answer is not yes, or nobody could have read the text and said so.
pub fn ask(screen: &Screen, text: &str, yes: bool) -> Result<(), Failure> {
    show(screen, text);
    if yes {
        return Ok(());
    }
    if !screen.interactive {
        return Err(Failure::usage("nobody is at a terminal to say yes: nothing was signed")
            .hint("read the text, then run it on a terminal, or give --yes"));
    }
    if ["y", "yes"].contains(&screen.ask("Sign this? [y/N]")?.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "not-confirmed", "nothing was signed").hint("answer `y`, or give --yes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Format;
    use crate::domain::time::Timestamp;

    #[test]
    fn a_text_is_for_now() {
        let now = 1_763_900_000;
        let longest = PROPOSAL_SECONDS_MAX;
        let window = |from: i64, lasts: i64| Window {
            from: Timestamp::from_seconds(now + from),
            until: Timestamp::from_seconds(now + from + lasts),
        };
        let slack = SIGNER_CLOCK_SECONDS_MAX;
        for good in [(0, longest), (0, 1), (slack, longest), (-longest - slack, longest)] {
            assert!(matches!(in_time(&window(good.0, good.1), longest, now), Ok(Timing::Now)), "{good:?}");
        }
        for other in [(slack + 1, longest), (-longest - slack - 1, longest)] {
            let found = in_time(&window(other.0, other.1), longest, now);
            let Ok(timing @ Timing::Other(_)) = found else { panic!("{other:?}") };
            let screen =
                Screen { format: Format::Table, terminal: false, color: false, interactive: other.0 > 0 };
            // A person at a terminal is told; nobody else goes on, nor who does not look.
            assert_eq!(timing.accept(&screen, false).is_ok(), other.0 > 0);
            let Ok(timing) = in_time(&window(other.0, other.1), longest, now) else { panic!("{other:?}") };
            assert!(timing.accept(&screen, true).is_err());
        }
        for bad in [(0, longest + 1), (0, 0), (0, -1)] {
            assert!(in_time(&window(bad.0, bad.1), longest, now).is_err(), "{bad:?}");
        }
    }
}

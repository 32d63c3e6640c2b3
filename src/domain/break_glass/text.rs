//! The text that responders sign: everything that an opening or extension is, in lines that a person reads.
//!
//! It is made from typed fields only. What comes back from a signer is read here, made again from the registry in
//! force, and compared byte for byte: a text that this broker would not write is none.

use std::fmt::Display;

use super::{Asks, Extension, Opening, Proposal};
use crate::domain::id::Lineage;
use crate::domain::name::{PlaybookName, Reason, Ticket, TrustDomain};
use crate::domain::playbook::{Quorum, Restriction, Scope};
use crate::domain::statement::{Draft, Namespace, Nonce, NotAStatement, Statement, Utc, Window, time};

/// To whom it is said: to this broker, and to no other of the same trust domain.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// The trust domain.
    pub trust_domain: &'a TrustDomain,
    /// The log's name and key, which no other broker has.
    pub log: &'a str,
}

/// The parts of a text before it is one.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// What is asked for.
    pub asks: &'a Asks,
    /// The playbook of the session; of an opening its own.
    pub playbook: &'a PlaybookName,
    /// The incident of the session; of an opening its own.
    pub ticket: &'a Ticket,
    /// How many must sign.
    pub quorum: Quorum,
    /// What makes it unlike every other.
    pub nonce: Nonce,
    /// When it can be signed.
    pub window: Window,
}

/// Writes the text.
///
/// # Errors
/// When something in it is not printable ASCII, or it is too long: nothing half is signed.
pub fn statement(to: Addressee<'_>, parts: &Parts<'_>) -> Result<Statement, NotAStatement> {
    let asked = match parts.asks {
        Asks::Extend(_) => "extend",
        Asks::Open(opening) if opening.drill => "drill",
        Asks::Open(_) => "open",
    };
    let draft = Draft::new(Namespace::BreakGlass, to.trust_domain, parts.nonce, parts.window)
        .line("log", to.log)
        .line("asks", asked)
        .line("playbook", parts.playbook)
        .line("ticket", parts.ticket);
    let draft = match parts.asks {
        Asks::Extend(extension) => draft
            .line("reason", &extension.reason)
            .line("session", extension.session)
            .line("new-end", Utc(extension.until)),
        Asks::Open(opening) => draft.line("reason", &opening.reason).line("seconds", opening.seconds),
    };
    let draft = draft.line("signers", u8::from(parts.quorum));
    match parts.asks {
        Asks::Extend(_) => draft.finish(),
        Asks::Open(opening) => scope(draft, &opening.scope).finish(),
    }
}

fn scope(draft: Draft, scope: &Scope) -> Draft {
    match scope {
        Scope::Expand(expansion) => draft
            .line("actions", listed(&expansion.actions))
            .line("agents", listed(&expansion.agents))
            .line("resources", listed(&expansion.resources)),
        Scope::Restrict(Restriction { lock, revoke }) => {
            // A line without a value is none.
            let draft = if lock.is_empty() { draft } else { draft.line("locks", listed(lock)) };
            if revoke.is_empty() { draft } else { draft.line("revokes", listed(revoke)) }
        }
    }
}

fn listed<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The text of a proposal that was made before: what further signers sign. `about` is the session that an extension
/// is of.
///
/// # Errors
/// As [`statement`], which does not happen for a proposal that came from a text.
pub fn of_proposal(
    to: Addressee<'_>,
    proposal: &Proposal,
    about: Option<&Opening>,
) -> Result<Statement, NotAStatement> {
    let opening = match &proposal.asks {
        Asks::Extend(_) => about.ok_or(NotAStatement::Text)?,
        Asks::Open(opening) => opening,
    };
    let window = Window { from: proposal.from, until: proposal.until };
    let (playbook, ticket) = (&opening.playbook, &opening.ticket);
    let Proposal { asks, nonce, quorum, .. } = proposal;
    statement(to, &Parts { asks, playbook, ticket, quorum: *quorum, nonce: *nonce, window })
}

/// Whether this text says what the proposal says, and is its text. For those who check a log: to whom it is said, and of an
/// extension the playbook and ticket, are taken from the text.
pub fn agrees(text: &Statement, proposal: &Proposal) -> bool {
    let again = || {
        let trust_domain: TrustDomain = text.value("trust-domain")?.parse().ok()?;
        let to = Addressee { trust_domain: &trust_domain, log: text.value("log")? };
        let (playbook, ticket) = (text.value("playbook")?.parse().ok()?, text.value("ticket")?.parse().ok()?);
        let Proposal { asks, from, nonce, quorum, until, .. } = proposal;
        let window = Window { from: *from, until: *until };
        let parts =
            Parts { asks, playbook: &playbook, ticket: &ticket, quorum: *quorum, nonce: *nonce, window };
        let own = match asks {
            Asks::Extend(_) => true,
            Asks::Open(opening) => opening.playbook == playbook && opening.ticket == ticket,
        };
        statement(to, &parts).ok().filter(|_| own)
    };
    text.digest() == proposal.statement && again().as_ref() == Some(text)
}

/// What a text says, but for the scope: that is the registry's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What makes it unlike every other.
    pub nonce: Nonce,
    /// When it can be signed.
    pub window: Window,
    /// How many must sign.
    pub quorum: Quorum,
    /// What is asked for.
    pub what: What,
}

/// What a text asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A later end.
    Extend(Extension),
    /// A session of this playbook.
    Open {
        /// Whether it is a drill.
        drill: bool,
        /// The playbook.
        playbook: PlaybookName,
        /// Why.
        reason: Reason,
        /// How long.
        seconds: u32,
        /// The incident.
        ticket: Ticket,
    },
}

/// Reads a text. `None` when it is none of break-glass; whether this broker would write it is not known here.
pub fn read(text: &Statement) -> Option<Said> {
    if text.namespace() != Namespace::BreakGlass || !in_form(text) {
        return None;
    }
    let value = |key: &str| text.value(key);
    let reason: Reason = value("reason")?.parse().ok()?;
    let open = |drill: bool| {
        Some(What::Open {
            drill,
            playbook: value("playbook")?.parse().ok()?,
            reason: reason.clone(),
            seconds: value("seconds")?.parse().ok()?,
            ticket: value("ticket")?.parse().ok()?,
        })
    };
    let what = match value("asks")? {
        "drill" => open(true)?,
        "extend" => {
            let session: Lineage = value("session")?.parse().ok()?;
            What::Extend(Extension { reason: reason.clone(), session, until: time(value("new-end")?)? })
        }
        "open" => open(false)?,
        _ => return None,
    };
    let window = text.window()?;
    let quorum = Quorum::try_from(value("signers")?.parse::<u8>().ok()?).ok()?;
    Some(Said { nonce: value("nonce")?.parse().ok()?, window, quorum, what })
}

/// Whether a text has the lines that [`statement`] writes, in their order, and no other: nothing stands in it that a
/// reader does not look for.
fn in_form(text: &Statement) -> bool {
    let common =
        ["trust-domain", "nonce", "not-before", "not-after", "log", "asks", "playbook", "ticket", "reason"];
    let keys: Vec<&str> = text.lines().map(|(key, _)| key).collect();
    let Some(rest) = keys.strip_prefix(&common[..]) else { return false };
    matches!(
        rest,
        ["session", "new-end", "signers"]
            | ["seconds", "signers", "actions", "agents", "resources"]
            | ["seconds", "signers", "locks" | "revokes"]
            | ["seconds", "signers", "locks", "revokes"]
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::playbook::Expansion;
    use crate::domain::revocation::Selector;
    use crate::domain::time::Timestamp;

    const START: Timestamp = Timestamp::from_seconds(1_763_900_000);

    fn opening(scope: Scope) -> Opening {
        Opening {
            drill: false,
            playbook: "node-repair".parse().unwrap(),
            reason: "n7 does not drain: disk gone".parse().unwrap(),
            scope,
            seconds: 1_800,
            ticket: "INC-4711".parse().unwrap(),
        }
    }

    fn expansion() -> Scope {
        Scope::Expand(Expansion {
            actions: vec!["infra.node.delete".parse().unwrap(), "infra.node.drain".parse().unwrap()],
            agents: vec!["spiffe://td/tenant/t/agent/scaler".parse().unwrap()],
            resources: vec!["cluster/prod".parse().unwrap()],
        })
    }

    fn written(asks: &Asks, about: &Opening) -> Statement {
        let trust_domain = "example.org".parse().unwrap();
        let to = Addressee { trust_domain: &trust_domain, log: "example.org/log+0a1b2c3d" };
        let window = Window { from: START, until: START.plus_millis(900_000) };
        let (playbook, ticket) = (&about.playbook, &about.ticket);
        let nonce = Nonce::new([0xab; 16]);
        statement(to, &Parts { asks, playbook, ticket, quorum: Quorum::DEFAULT, nonce, window }).unwrap()
    }

    #[test]
    fn an_opening_is_this_text() {
        let opening = opening(expansion());
        let text = written(&Asks::Open(opening.clone()), &opening);
        assert_eq!(
            text.as_str(),
            "hotwork break-glass v1\ntrust-domain: example.org\nnonce: abababababababababababababababab\n\
             not-before: 2025-11-23T12:13:20Z\nnot-after: 2025-11-23T12:28:20Z\nlog: example.org/log+0a1b2c3d\n\
             asks: open\nplaybook: node-repair\nticket: INC-4711\nreason: n7 does not drain: disk gone\n\
             seconds: 1800\nsigners: 2\nactions: infra.node.delete, infra.node.drain\n\
             agents: spiffe://td/tenant/t/agent/scaler\nresources: cluster/prod\n"
        );
        let said = read(&text).unwrap();
        assert_eq!((said.nonce, said.quorum), (Nonce::new([0xab; 16]), Quorum::DEFAULT));
        assert_eq!((said.window.from, said.window.until), (START, START.plus_millis(900_000)));
        let Opening { drill, playbook, reason, seconds, ticket, .. } = opening;
        assert_eq!(said.what, What::Open { drill, playbook, reason, seconds, ticket });
    }

    #[test]
    fn a_drill_a_brake_and_an_extension_each_say_what_they_are() {
        let lock = vec![Selector::All, Selector::Tenant("acme".parse().unwrap())];
        let brake = opening(Scope::Restrict(Restriction { lock, revoke: vec![] }));
        let text = written(&Asks::Open(brake.clone()), &brake);
        assert_eq!(text.value("locks"), Some("everything, tenant acme"));
        assert_eq!(text.value("revokes"), None);
        let drill = Opening { drill: true, ..opening(expansion()) };
        let text = written(&Asks::Open(drill.clone()), &drill);
        assert_eq!(text.value("asks"), Some("drill"));
        let session = Lineage::new(START, &[5; 10]);
        let until = START.plus_millis(3_600_000);
        let extension = Extension { reason: "more nodes".parse().unwrap(), session, until };
        let text = written(&Asks::Extend(extension.clone()), &drill);
        assert_eq!(text.value("new-end"), Some("2025-11-23T13:13:20Z"));
        assert_eq!(text.value("actions"), None, "it extends what was signed, and nothing else");
        assert_eq!(read(&text).unwrap().what, What::Extend(extension));
    }

    #[test]
    fn what_is_no_text_of_ours_is_not_read() {
        let own = opening(expansion());
        let good = written(&Asks::Open(own.clone()), &own).as_str().to_owned();
        for (from, to) in [
            ("hotwork break-glass v1", "hotwork approval v1"),
            ("asks: open", "asks: shut"),
            ("seconds: 1800", "seconds: -1"),
            ("signers: 2", "signers: 0"),
            ("signers: 2", "signers: 9"),
            ("ticket: INC-4711", "ticket: INC 4711"),
            ("playbook: node-repair", "playbook: Node"),
            ("not-after: 2025-11-23T12:28:20Z", "not-after: soon"),
        ] {
            let changed = good.replacen(from, to, 1);
            assert!(good != changed && changed.parse().ok().as_ref().and_then(read).is_none(), "{to}");
        }
    }
}

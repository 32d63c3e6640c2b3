//! What is told of break-glass. Reasons, tickets and findings are prose, and stay in the log.

use serde_json::{Value, json};

use super::Severity;
use crate::domain::break_glass::{Asks, Proposal, Step};
use crate::domain::name::{OperatorName, PlaybookName};

/// A way in that is open, or open for longer, is an emergency, unless it is known for a drill.
pub(super) const fn severity(step: &Step) -> Severity {
    match step {
        Step::Extend(_) => Severity::Critical,
        Step::Open(opened) => match &opened.proposal.asks {
            Asks::Open(opening) if opening.drill => Severity::Warning,
            Asks::Extend(_) | Asks::Open(_) => Severity::Critical,
        },
        Step::Close(_) | Step::Propose(_) | Step::Review(_) | Step::Sign(_) => Severity::Warning,
    }
}

/// One line for a person.
pub(super) fn summary(step: &Step) -> String {
    let by = step.operator().map_or("nobody", OperatorName::as_str);
    match step {
        Step::Close(closing) => format!("{by} closed the break-glass session {}", closing.session),
        Step::Extend(extended) => {
            format!("the break-glass session {} was extended, signed last by {by}", extended.session)
        }
        Step::Open(opened) => {
            let what = if is_drill(step) { "a break-glass drill" } else { "glass" };
            let playbook = playbook(&opened.proposal).map_or("?", PlaybookName::as_str);
            format!(
                "{what} was opened with playbook {playbook}, signed last by {by}: session {}",
                opened.session
            )
        }
        Step::Propose(_) => format!("{by} proposes to break glass, others must sign"),
        Step::Review(review) => format!("{by} reviewed the break-glass session {}", review.session),
        Step::Sign(_) => format!("{by} signed a proposal to break glass, others must sign"),
    }
}

/// The facts that the step has.
pub(super) fn details(step: &Step) -> Value {
    let proposal = proposal(step);
    json!({
        "drill": is_drill(step),
        "operator": step.operator().map(OperatorName::as_str),
        "playbook": proposal.and_then(playbook).map(PlaybookName::as_str),
        "session": step.session().map(|session| session.to_string()),
        "step": word(step),
    })
}

const fn word(step: &Step) -> &'static str {
    match step {
        Step::Close(_) => "close",
        Step::Extend(_) => "extend",
        Step::Open(_) => "open",
        Step::Propose(_) => "propose",
        Step::Review(_) => "review",
        Step::Sign(_) => "sign",
    }
}

const fn proposal(step: &Step) -> Option<&Proposal> {
    match step {
        Step::Extend(extended) => Some(&extended.proposal),
        Step::Open(opened) => Some(&opened.proposal),
        Step::Propose(proposed) => Some(&proposed.proposal),
        Step::Close(_) | Step::Review(_) | Step::Sign(_) => None,
    }
}

const fn playbook(proposal: &Proposal) -> Option<&PlaybookName> {
    match &proposal.asks {
        Asks::Extend(_) => None,
        Asks::Open(opening) => Some(&opening.playbook),
    }
}

fn is_drill(step: &Step) -> bool {
    match (step, proposal(step).map(|proposal| &proposal.asks)) {
        (Step::Review(review), _) => review.drill,
        (_, Some(Asks::Open(opening))) => opening.drill,
        (_, Some(Asks::Extend(_)) | None) => false,
    }
}

/// The end of a session, for tests.
#[cfg(test)]
pub(super) fn closed() -> Step {
    use crate::domain::break_glass::Closing;
    use crate::domain::id::Lineage;
    use crate::domain::time::Timestamp;

    let session = Lineage::new(Timestamp::from_millis(1), &[5; 10]);
    Step::Close(Closing {
        operator: "ann".parse().unwrap(),
        reason: "the secret reason".parse().unwrap(),
        session,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::break_glass::{Ask, Opened};
    use crate::domain::fixture;
    use crate::domain::time::Timestamp;

    fn opened(drill: bool) -> Step {
        let Ask::Sign(sign) = fixture::sign(Timestamp::from_millis(1), "ann") else { panic!("no signature") };
        let mut proposal = sign.proposal;
        if let Asks::Open(opening) = &mut proposal.asks {
            opening.drill = drill;
        }
        let until = Timestamp::from_millis(2);
        Step::Open(Opened { proposal, session: sign.session, signatures: vec![sign.signature], until })
    }

    #[test]
    fn an_opening_is_an_emergency_and_a_drill_is_not() {
        assert_eq!(severity(&opened(false)), Severity::Critical);
        assert_eq!(severity(&opened(true)), Severity::Warning);
        assert_eq!(severity(&closed()), Severity::Warning);
    }

    #[test]
    fn what_people_wrote_stays_in_the_log() {
        let told = |step: &Step| format!("{} {}", summary(step), details(step));
        let open = told(&opened(false));
        assert!(open.contains("\"playbook\":\"repair\"") && open.contains("\"operator\":\"ann\""), "{open}");
        assert!(!open.contains("cluster is down") && !open.contains("INC-1"), "{open}");
        assert!(!told(&closed()).contains("secret reason"));
    }
}

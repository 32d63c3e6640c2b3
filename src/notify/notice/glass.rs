//! What is told of break-glass: its steps, and what goes on. Reasons, tickets and findings are prose, and stay in the
//! log.

use serde_json::{Value, json};

use super::Severity;
use crate::domain::break_glass::Step;
use crate::domain::id::Lineage;
use crate::domain::name::{OperatorName, PlaybookName};
use crate::domain::time::Timestamp;

/// What goes on, told again and again. It stands in no log: its beginning does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reminder {
    /// Whether it is a drill.
    pub drill: bool,
    /// What goes on.
    pub going: GoingOn,
    /// The playbook.
    pub playbook: PlaybookName,
    /// The session.
    pub session: Lineage,
    /// When the session ends, or ended at the latest.
    pub until: Timestamp,
}

/// What people are reminded of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoingOn {
    /// A session is open.
    Open,
    /// Its review is overdue.
    ReviewOverdue,
}

/// A way in that is open, or open for longer, is an emergency, unless it is known for a drill. A function of the entry
/// alone: the lane that a notice waits in has its own cursor.
pub(super) fn severity(step: &Step) -> Severity {
    match step {
        Step::Extend(_) | Step::Open(_) if step.is_drill() => Severity::Warning,
        Step::Extend(_) | Step::Open(_) => Severity::Critical,
        // Everybody takes all of it for shut.
        Step::Restrict(restricted) if !restricted.left.is_empty() => Severity::Critical,
        Step::Restrict(_) => Severity::Info,
        Step::Close(_) | Step::Propose(_) | Step::Review(_) | Step::Sign(_) => Severity::Warning,
    }
}

/// One line for a person.
pub(super) fn summary(step: &Step) -> String {
    let by = step.operator().map_or("nobody", OperatorName::as_str);
    let drill = if step.is_drill() { "drill" } else { "session" };
    match step {
        Step::Close(closing) => format!("{by} closed the break-glass {drill} {}", closing.session),
        Step::Extend(extended) => {
            format!("the break-glass {drill} {} was extended, signed last by {by}", extended.session)
        }
        Step::Open(opened) => {
            let what = if step.is_drill() { "a break-glass drill" } else { "glass" };
            let playbook = step.playbook().map_or("?", PlaybookName::as_str);
            format!(
                "{what} was opened with playbook {playbook}, signed last by {by}: session {}",
                opened.session
            )
        }
        Step::Propose(_) => format!("{by} proposes to break glass, others must sign"),
        Step::Restrict(restricted) if restricted.left.is_empty() => {
            format!("what the break-glass session {} shuts and ends is shut and ended", restricted.session)
        }
        Step::Restrict(restricted) => {
            format!(
                "the break-glass session {} could not shut and end all that it should",
                restricted.session
            )
        }
        Step::Review(review) => format!("{by} reviewed the break-glass {drill} {}", review.session),
        Step::Sign(_) => format!("{by} signed a proposal to break glass, others must sign"),
    }
}

/// The facts that the step has.
pub(super) fn details(step: &Step) -> Value {
    let until = match step {
        Step::Extend(extended) => Some(extended.until),
        Step::Open(opened) => Some(opened.until),
        Step::Close(_) | Step::Propose(_) | Step::Restrict(_) | Step::Review(_) | Step::Sign(_) => None,
    };
    json!({
        "drill": step.is_drill(),
        "operator": step.operator().map(OperatorName::as_str),
        "playbook": step.playbook().map(PlaybookName::as_str),
        "session": step.session().map(|session| session.to_string()),
        "step": word(step),
        "until": until.map(Timestamp::to_rfc3339),
    })
}

const fn word(step: &Step) -> &'static str {
    match step {
        Step::Close(_) => "close",
        Step::Extend(_) => "extend",
        Step::Open(_) => "open",
        Step::Propose(_) => "propose",
        Step::Restrict(_) => "restrict",
        Step::Review(_) => "review",
        Step::Sign(_) => "sign",
    }
}

impl Reminder {
    pub(super) const fn severity(&self) -> Severity {
        match self.going {
            GoingOn::Open if !self.drill => Severity::Critical,
            GoingOn::Open | GoingOn::ReviewOverdue => Severity::Warning,
        }
    }

    pub(super) fn summary(&self) -> String {
        let what = if self.drill { "drill" } else { "session" };
        let Self { playbook, session, .. } = self;
        match self.going {
            GoingOn::Open => format!(
                "the break-glass {what} {session} of playbook {playbook} is still open, until {}",
                self.until.to_rfc3339()
            ),
            GoingOn::ReviewOverdue => {
                format!("the review of the break-glass {what} {session} of playbook {playbook} is overdue")
            }
        }
    }

    pub(super) fn details(&self) -> Value {
        let step = match self.going {
            GoingOn::Open => "still-open",
            GoingOn::ReviewOverdue => "review-overdue",
        };
        json!({
            "drill": self.drill,
            "operator": null,
            "playbook": self.playbook.as_str(),
            "session": self.session.to_string(),
            "step": step,
            "until": self.until.to_rfc3339(),
        })
    }
}

/// The end of a session, for tests.
#[cfg(test)]
pub(super) fn closed() -> Step {
    use crate::domain::break_glass::Closing;

    let session = Lineage::new(Timestamp::from_millis(1), &[5; 10]);
    Step::Close(Closing {
        drill: false,
        operator: "ann".parse().unwrap(),
        playbook: Some("repair".parse().unwrap()),
        reason: "the secret reason".parse().unwrap(),
        session,
    })
}

/// A reminder of a session whose id ends with this number, for tests.
#[cfg(test)]
pub(in crate::notify) fn reminder(number: u8, drill: bool, going: GoingOn) -> Reminder {
    let (time, playbook) = (Timestamp::from_millis(1_700_000_000_000), "repair".parse().unwrap());
    Reminder { drill, going, playbook, session: Lineage::new(time, &[number; 10]), until: time }
}

/// An opening, for tests.
#[cfg(test)]
fn opened(drill: bool) -> crate::domain::break_glass::Opened {
    use crate::domain::break_glass::{Ask, Asks, Opened};
    let Ask::Sign(sign) = crate::domain::fixture::sign(Timestamp::from_millis(1), "ann") else {
        panic!("no signature")
    };
    let mut proposal = sign.proposal;
    if let Asks::Open(opening) = &mut proposal.asks {
        opening.drill = drill;
    }
    let until = Timestamp::from_millis(2);
    Opened { proposal, session: sign.session, signatures: vec![sign.signature], until }
}

/// The notice of an opening whose session's id ends with this number, for tests.
#[cfg(test)]
pub(in crate::notify) fn opening(number: u8) -> super::Notice {
    let session = reminder(number, false, GoingOn::Open).session;
    let opened = crate::domain::break_glass::Opened { session, ..opened(false) };
    super::Notice::BreakGlass(Box::new(Step::Open(opened)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::break_glass::{Extended, Opened};

    fn extended(drill: bool) -> Step {
        let Opened { proposal, session, signatures, until } = opened(drill);
        let playbook = Some("repair".parse().unwrap());
        Step::Extend(Extended { drill, playbook, proposal, session, signatures, until })
    }

    #[test]
    fn an_opening_is_an_emergency_and_a_drill_is_not() {
        for (drill, expected) in [(false, Severity::Critical), (true, Severity::Warning)] {
            assert_eq!(severity(&Step::Open(opened(drill))), expected);
            assert_eq!(severity(&extended(drill)), expected);
            assert_eq!(reminder(1, drill, GoingOn::Open).severity(), expected);
            assert_eq!(reminder(1, drill, GoingOn::ReviewOverdue).severity(), Severity::Warning);
            assert_eq!(summary(&extended(drill)).contains("drill"), drill);
        }
        assert_eq!(severity(&closed()), Severity::Warning);
    }

    #[test]
    fn what_people_wrote_stays_in_the_log() {
        let told = |step: &Step| format!("{} {}", summary(step), details(step));
        let open = told(&Step::Open(opened(false)));
        assert!(open.contains("\"until\":\"1970-01-01T00:00:00.002Z\""), "{open}");
        assert!(open.contains("\"playbook\":\"repair\"") && open.contains("\"operator\":\"ann\""), "{open}");
        assert!(!open.contains("cluster is down") && !open.contains("INC-1"), "{open}");
        let closed = told(&closed());
        assert!(!closed.contains("secret reason") && closed.contains("\"playbook\":\"repair\""), "{closed}");
    }
}

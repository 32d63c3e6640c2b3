//! How long a group is let grow before it is committed.

use std::collections::VecDeque;
use std::time::Duration;

use super::ledger::Job;
use crate::domain::limits::LEDGER_GROUP_MAX;

/// Size of a group after which the next one is let grow: several callers are at work.
const CROWD: u32 = 4;
/// How long it is let grow for each command of the last one. A commit costs some 100 us of processor time
/// whatever its size, so under load it is worth waiting for company; a lone caller and what ends something
/// never wait.
const GATHER: Duration = Duration::from_micros(80);
/// The longest it is let grow: well below what the same load waits for the processor.
const GATHER_MAX: Duration = Duration::from_millis(2);

/// How long these wait for company after a group of `crowd` commands. A lone caller does not, nor does anybody with what
/// takes authority away, whoever is in the same group.
pub(super) fn patience(crowd: u32, jobs: &VecDeque<Job>) -> Option<Duration> {
    let urgent = jobs.iter().any(|job| job.command.is_urgent());
    let waits = crowd >= CROWD && jobs.len() < LEDGER_GROUP_MAX && !urgent;
    waits.then(|| GATHER.saturating_mul(crowd).min(GATHER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture;
    use crate::domain::ledger::Command;
    use crate::domain::revocation::{Lock, Selector, Terms};
    use crate::domain::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn jobs(commands: impl IntoIterator<Item = Command>) -> VecDeque<Job> {
        let job = |command| Job { command, answer: tokio::sync::oneshot::channel().0 };
        commands.into_iter().map(job).collect()
    }

    fn issue() -> Command {
        Command::Issue(Box::new(fixture::issuance("a", NOW, 1)))
    }

    #[test]
    fn what_takes_authority_away_waits_for_no_company() {
        let operator: crate::domain::name::OperatorName = "olga".parse().unwrap();
        let lock = Lock {
            operator: operator.clone(),
            selector: Selector::All,
            tenants: Vec::new(),
            terms: Terms { expires: NOW.plus_millis(60_000), message: "m".parse().unwrap() },
        };
        let revocation = fixture::revocation(Selector::All);
        let removal = crate::domain::enrollment::Unenroll {
            operator: operator.clone(),
            reason: "r".parse().unwrap(),
            serial: None,
            who: crate::domain::enrollment::Enrolled::Operator(operator),
        };
        let crowd = LEDGER_GROUP_MAX.try_into().unwrap();
        assert_eq!(patience(crowd, &jobs([issue()])), Some(GATHER_MAX));
        let urgent =
            [Command::Lock(lock), Command::Revoke { revocation, target: None }, Command::Remove(removal)];
        for command in urgent {
            assert_eq!(patience(crowd, &jobs([command.clone()])), None, "{command:?}");
            // Nor when others came before it, who would wait by themselves.
            assert_eq!(patience(crowd, &jobs([issue(), command.clone()])), None, "{command:?}");
        }
    }

    #[test]
    fn a_lone_caller_and_a_whole_group_wait_for_nobody() {
        assert_eq!(patience(CROWD - 1, &jobs([issue()])), None);
        assert_eq!(patience(CROWD, &jobs([issue()])), Some(GATHER * CROWD));
        let group = |count| jobs(std::iter::repeat_with(issue).take(count));
        assert!(patience(CROWD, &group(LEDGER_GROUP_MAX - 1)).is_some());
        assert_eq!(patience(CROWD, &group(LEDGER_GROUP_MAX)), None);
    }
}

//! Room for descriptors: strangers' connections must not cost the ledger its files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::domain::limits::DESCRIPTORS_WANTED;

/// Raises the soft limit as far as it is wanted and the hard one allows. With less than all listeners may
/// take together, whoever opens connections can keep the journal from its next segment, and a journal that
/// fails stops issuing: that is said in the log.
pub(super) fn raise() {
    let found = getrlimit(Resource::Nofile);
    let has = |limit: Option<u64>| limit.is_none_or(|limit| limit >= DESCRIPTORS_WANTED);
    if has(found.current) {
        return;
    }
    let wanted = found.maximum.map_or(DESCRIPTORS_WANTED, |hard| hard.min(DESCRIPTORS_WANTED));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: found.maximum });
    if raised.is_err() || wanted < DESCRIPTORS_WANTED {
        tracing::warn!(
            limit = getrlimit(Resource::Nofile).current,
            wanted = DESCRIPTORS_WANTED,
            "few descriptors: connections could keep the ledger from its files; raise `LimitNOFILE`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_as_far_as_the_hard_one_allows() {
        raise();
        let found = getrlimit(Resource::Nofile);
        let enough = found.current.is_none_or(|soft| soft >= DESCRIPTORS_WANTED);
        assert!(enough || found.current == found.maximum, "{found:?}");
    }
}

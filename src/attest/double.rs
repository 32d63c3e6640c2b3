//! Test doubles of [`Attestor`]: one that always fails, and one that believes anybody. Never wired by the
//! daemon.

use std::io;
use std::sync::Arc;

use super::{Attestor, BoxFuture, Failure, Outcome, Presented};
use crate::domain::evidence::Evidence;

/// An attestor that can never look, for showing that failing is not "no identity".
#[derive(Clone, Copy, Debug, Default)]
pub struct FailingAttestor;

impl Attestor for FailingAttestor {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn attest<'a>(&'a self, _presented: &'a Presented) -> BoxFuture<'a, Result<Outcome, Failure>> {
        let source = io::Error::other("it always fails");
        Box::pin(std::future::ready(Err(Failure::unavailable("anything", source))))
    }
}

/// An attestor with the same evidence for every caller. Wired into a daemon it would make everybody the
/// same agent.
#[derive(Clone, Debug)]
pub struct DangerousFixedAttestor {
    evidence: Arc<Evidence>,
}

impl DangerousFixedAttestor {
    /// Every caller has this evidence.
    pub fn new(evidence: Evidence) -> Self {
        Self { evidence: Arc::new(evidence) }
    }
}

impl Attestor for DangerousFixedAttestor {
    fn name(&self) -> &'static str {
        "dangerous-fixed"
    }

    fn attest<'a>(&'a self, _presented: &'a Presented) -> BoxFuture<'a, Result<Outcome, Failure>> {
        Box::pin(std::future::ready(Ok(Outcome::Evidence(Arc::clone(&self.evidence)))))
    }
}

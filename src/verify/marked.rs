//! Credentials that were minted under break-glass: they say so, and a resource can refuse them.

use crate::domain::catalogue::Tier;

use super::authority::Authority;
use super::refusal::Refusal;

/// What a verifier does with a credential that was minted under break-glass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BreakGlass {
    /// It is taken as any other.
    #[default]
    Accepted,
    /// It is refused: this resource is none that an emergency opens.
    Refused,
}

impl BreakGlass {
    /// Whether the credential passes.
    pub(super) fn check(self, authority: &Authority) -> Result<(), Refusal> {
        match (self, authority.tier) {
            (Self::Refused, Tier::BreakGlass) => Err(Refusal::BreakGlass),
            (Self::Accepted, _) | (Self::Refused, Tier::Approval | Tier::Auto) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::authority;

    #[test]
    fn a_resource_that_no_emergency_opens_refuses_what_is_marked_and_nothing_else() {
        let of = |tier| Authority { tier, ..authority() };
        for tier in [Tier::Approval, Tier::Auto, Tier::BreakGlass] {
            assert_eq!(BreakGlass::Accepted.check(&of(tier)), Ok(()));
        }
        for tier in [Tier::Approval, Tier::Auto] {
            assert_eq!(BreakGlass::Refused.check(&of(tier)), Ok(()));
        }
        assert_eq!(BreakGlass::Refused.check(&of(Tier::BreakGlass)), Err(Refusal::BreakGlass));
    }
}

//! The check itself: the API by its name, the registry's routes, the broker's own keys and revocations.

use std::sync::Arc;

use crate::broker::Broker;
use crate::domain::name::ApiName;
use crate::domain::time::Timestamp;
use crate::verify::http::{Arrived, Denied, Protected, check};
use crate::verify::{Authority, Refusal, Settings, Standing, Status, Verified, Verifier, is_ended};

/// Checks requests for the proxies.
pub struct Gate {
    broker: Arc<Broker>,
    verifier: Verifier,
}

/// The ledger's own revocations: there is nothing newer.
struct Own(Arc<Broker>);

impl Standing for Own {
    fn standing(&self, credential: &Authority, _: Timestamp) -> Status {
        let ended = is_ended(&self.0.ledger().revocations(), credential);
        if ended { Status::Ended } else { Status::Live }
    }
}

impl Gate {
    /// A gate to the APIs of this broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        let trust = Arc::clone(broker.minter().trust());
        let verifier = Verifier::new(trust, Arc::new(Own(Arc::clone(&broker))), Settings::default());
        Self { broker, verifier }
    }

    /// Checks one request to the API of this name.
    ///
    /// # Errors
    /// The first reason to refuse it. An API that is not there or retired knows no action.
    pub fn check(&self, api: &str, arrived: &Arrived<'_>) -> Result<Verified, Denied> {
        let denied = |refusal| Denied { refusal, action: None };
        let now = self.broker.trusted_time().map_err(|_| denied(Refusal::Clock))?;
        let name: ApiName = api.parse().map_err(|_| denied(Refusal::Unmapped))?;
        self.verifier.trust(self.broker.minter().trust());
        let rules = self.broker.rules();
        let api = rules.registry.active_api(&name).ok_or_else(|| denied(Refusal::Unmapped))?;
        check(&self.verifier, &Protected::of(api), arrived, now)
    }
}

/// What a verified request says of its credential to the API behind: nothing that a client could set itself,
/// because the proxy replaces these fields.
pub(super) fn told(verified: &Verified) -> [(&'static str, String); 4] {
    let authority = verified.authority();
    [
        ("x-hotwork-action", authority.action.to_string()),
        ("x-hotwork-agent", authority.agent.to_string()),
        ("x-hotwork-credential", authority.id.to_string()),
        ("x-hotwork-resource", authority.resource.to_string()),
    ]
}

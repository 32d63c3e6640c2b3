//! The check itself: the API by its name, the registry's routes, the broker's own keys and revocations.

use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::consume::ConsumeError;
use crate::domain::credential::Credential;
use crate::domain::ledger::Refusal as Cause;
use crate::domain::name::ApiName;
use crate::domain::time::Timestamp;
use crate::store::LedgerError;
use crate::verify::http::{Arrived, Denied, Protected, check, token_of};
use crate::verify::{Authority, Calls, Refusal, Settings, Standing, Status, Verified, Verifier};

/// Checks requests for the proxies.
pub struct Gate {
    broker: Arc<Broker>,
    verifier: Verifier,
}

/// The ledger's own revocations: there is nothing newer.
struct Own(Arc<Broker>);

/// Whether the record is live, and of the very credential that was shown: whoever has a key of ours can sign
/// another one under the id of one that lives.
fn stands(broker: &Broker, record: &Credential, shown: &Authority, now: Timestamp) -> bool {
    record.issuance.content == shown.content && broker.is_live(record, now)
}

impl Standing for Own {
    fn standing(&self, credential: &Authority, now: Timestamp) -> Status {
        let ended = match self.0.remembered(&credential.id) {
            // The record knows more than the credential tells.
            Some(record) => !stands(&self.0, &record, credential, now),
            None => {
                let revocations = self.0.ledger().revocations();
                revocations.ended(&credential.id, &credential.agent, credential.issued).is_some()
            }
        };
        if ended { Status::Ended } else { Status::Live }
    }
}

impl Gate {
    /// A gate to the APIs of this broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        let trust = broker.minter().trust(broker.time());
        // Counted here, with the ledger's own debit.
        let settings = Settings { calls: Calls::CountedByCaller, ..Settings::default() };
        let verifier = Verifier::new(trust, Arc::new(Own(Arc::clone(&broker))), settings);
        Self { broker, verifier }
    }

    /// Checks one request to the API of this name.
    ///
    /// # Errors
    /// The first reason to refuse it. An API that is not there or retired knows no action.
    pub async fn check(&self, api: &str, arrived: &Arrived<'_>) -> Result<Verified, Denied> {
        let denied = |refusal| Denied { refusal, action: None };
        let now = self.broker.trusted_time().map_err(|_| denied(Refusal::Clock))?;
        let name: ApiName = api.parse().map_err(|_| denied(Refusal::Unmapped))?;
        self.verifier.trust(&self.broker.minter().trust(now));
        let rules = self.broker.rules();
        let api = rules.registry.active_api(&name).ok_or_else(|| denied(Refusal::Unmapped))?;
        let verified = check(&self.verifier, &Protected::of(api), arrived, now)?;
        self.recorded(&verified, now).await.map_err(denied)?;
        if verified.must_debit() {
            self.debited(arrived).await.map_err(denied)?;
        }
        Ok(verified)
    }

    /// Takes one call from a credential for a number of them. The last step: a refused request costs none.
    async fn debited(&self, arrived: &Arrived<'_>) -> Result<(), Refusal> {
        // Only a token tells how many calls it is good for.
        let token = token_of(arrived.headers).ok_or(Refusal::Debit)?;
        match self.broker.debit_once(token).await {
            Ok(_) => Ok(()),
            Err(ConsumeError::NotLive) => Err(Refusal::Ended),
            Err(ConsumeError::Ledger(LedgerError::Refused(Cause::CallsExhausted))) => Err(Refusal::Exhausted),
            Err(ConsumeError::Ledger(_) | ConsumeError::Read(_)) => Err(Refusal::StatusUnknown),
        }
    }

    /// Whether the credential's record stands and is live. The first time it is read from the index. It is
    /// judged here also when it is in memory: the verification before it may not have had it yet, because it does
    /// not wait for the index.
    ///
    /// # Errors
    /// [`Refusal::Ended`], and [`Refusal::StatusUnknown`] when there is no record or it can't be read.
    pub async fn recorded(&self, verified: &Verified, now: Timestamp) -> Result<(), Refusal> {
        let authority = verified.authority();
        match self.broker.record_of(authority.id).await {
            Ok(Some(record)) if stands(&self.broker, &record, authority, now) => Ok(()),
            Ok(Some(_)) => Err(Refusal::Ended),
            // Nothing leaves before its record is durable, so what has none is not known to be live.
            Ok(None) | Err(_) => Err(Refusal::StatusUnknown),
        }
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

//! Who a verifier is: the one place that turns what a transport proves into a verifier's identity.

use tonic::{Request, Status};

use crate::attest::x509::Standing;
use crate::broker::Broker;
use crate::broker::verifiers::VerifierId;
use crate::domain::enrollment::Enrolled;
use crate::domain::name::VerifierLabel;

use super::peer;
use super::status::{Refused, status};

/// The verifier that calls, if it is one. The feed names every tenant's agents: over TLS it is for enrolled
/// verifiers, and elsewhere only an operator of all tenants is one; an agent is none (promise P12).
///
/// # Errors
/// UNAUTHENTICATED when the transport proves nobody, PERMISSION_DENIED when who it proves is no verifier.
pub fn verifier<T>(
    broker: &Broker,
    request: &Request<T>,
    label: Option<VerifierLabel>,
) -> Result<VerifierId, Status> {
    if let Some(certified) = peer::certified(request)
        && let Standing::Enrolled(who @ Enrolled::Verifier(_), _) = &certified.standing
    {
        return Ok(VerifierId { identity: who.to_string().into(), label });
    }
    let caller = peer::caller(request)?;
    if !broker.operator(&caller).is_some_and(|operator| operator.tenants.is_empty()) {
        return Err(Refused::not_a_verifier().into());
    }
    let identity = match peer::unix(request) {
        Some(peer) => {
            let credentials = peer.credentials().map_err(status)?;
            format!("unix:uid={},pid={}", credentials.uid, credentials.pid)
        }
        None => caller.to_string(),
    };
    Ok(VerifierId { identity: identity.into(), label })
}

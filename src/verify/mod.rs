//! Verification at the resource: what a server checks before it acts on a request that a credential came
//! with. For services that use this crate as a library, and for the broker's own doors for proxies.
//!
//! The order is that of PROFILES 1 and ends at the first failure: size, strict parse, type, algorithm bound
//! to the key, signature, depth and principal, times (all in [`crate::signer::verify`]), proof of possession,
//! status, audience, action, resource, constraints, debit. Everything is answered from memory. This room
//! knows the broker's public keys and none of its use cases.
//!
//! [`layer::VerifyLayer`] does it for each request of an axum or tonic service; what it refuses is an HTTP status there and
//! a gRPC status here.

mod authority;
mod ends;
mod grpc;
pub mod http;
pub mod layer;
mod marked;
mod nonce;
mod possession;
mod refusal;
mod replay;
mod standing;

pub use authority::Authority;
pub use ends::{End, Ends, Subject};
pub use marked::BreakGlass;
pub use nonce::{Nonce, Nonces};
pub use refusal::{BadProof, Refusal};
pub use standing::{Followed, Standing, Status, WhenLost};

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::constraint::Constraint;
use crate::domain::digest::Digest;
use crate::domain::limits::{PROOFS_REMEMBERED_MAX, TOKENS_KNOWN_MAX};
use crate::domain::memory::Memory;
use crate::domain::name::{ActionName, Audience};
use crate::domain::parameter::Parameter;
use crate::domain::resource::Resource;
use crate::domain::time::Timestamp;
use crate::signer::verify::{Moment, NotVerified, Trust};

use possession::Possession;
use replay::Replays;

/// How the client presented a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer` (RFC 6750), also for tokens that a certificate is bound to (RFC 8705).
    Bearer,
    /// `Authorization: DPoP` with a proof (RFC 9449).
    Dpop,
}

/// A credential as the client presents it.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The token with its scheme; without one the certificate must be an action certificate of ours.
    pub token: Option<(Scheme, &'a str)>,
    /// The DPoP proof.
    pub proof: Option<&'a str>,
    /// The client's certificate (DER), of which the transport proved that the client has the key.
    pub certificate: Option<&'a [u8]>,
}

/// What the client wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a str,
    /// The URI without query, as clients know it; `None` when that is not known, and then no proof is good.
    pub url: Option<&'a str>,
    /// The API's audience.
    pub audience: &'a Audience,
    /// Whether a token that is bound to no key will do.
    pub dangerous_bearer: bool,
    /// The action; `None` when the request is none that is known. It is refused last.
    pub asked: Option<Asked<'a>>,
    /// Digest of the call's arguments, when they are known.
    pub args: Option<Digest>,
}

/// An action on a resource.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The action.
    pub action: &'a ActionName,
    /// The resource.
    pub resource: &'a Resource,
    /// All parameters of the call that the action declares.
    pub parameters: &'a [Parameter],
}

/// Proves that every check was passed. It is for one call.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    authority: Authority,
}

impl Verified {
    /// What the credential says.
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Whether the credential has to be debited (`Consume`) before the call is made; see [`Calls`].
    pub const fn must_debit(&self) -> bool {
        self.authority.calls_max.is_some()
    }
}

/// What a verifier does with a credential that is good for a number of calls only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// The caller counts: it debits each [`Verified::must_debit`] at the broker before it acts.
    CountedByCaller,
    /// It refuses it.
    #[default]
    Refused,
}

/// What a verifier is set to.
#[derive(Debug, Default)]
pub struct Settings {
    /// Forgiven between two clocks, in seconds, 30 at most.
    pub leeway_seconds: u32,
    /// Nonces that DPoP proofs have to repeat, if they have to.
    pub nonces: Option<Nonces>,
    /// What becomes of credentials for a number of calls.
    pub calls: Calls,
    /// What becomes of credentials that were minted under break-glass.
    pub break_glass: BreakGlass,
}

/// A token that was read and whose signature verified.
#[derive(Debug)]
struct Read {
    authority: Authority,
    /// Seconds since the epoch.
    not_before: i64,
}

/// Verifies credentials. One value behind an `Arc`, shared by all that serve.
pub struct Verifier {
    trust: ArcSwap<Trust>,
    standing: Arc<dyn Standing>,
    settings: Settings,
    /// Tokens whose signature was checked, so that one in use is checked once and not on every request. A
    /// signature does not change its mind: nothing that a revocation or the time should end is kept, and
    /// other trusted keys make other memories.
    known: Memory<Digest, Read>,
    replays: Replays,
}

impl Verifier {
    /// A verifier that trusts `trust` and asks `standing`.
    pub fn new(trust: Arc<Trust>, standing: Arc<dyn Standing>, settings: Settings) -> Self {
        Self {
            trust: ArcSwap::new(trust),
            standing,
            settings,
            known: Memory::new(TOKENS_KNOWN_MAX),
            replays: Replays::new(PROOFS_REMEMBERED_MAX),
        }
    }

    /// Trusts `trust` from now on, and nothing else.
    pub fn trust(&self, trust: &Arc<Trust>) {
        if self.trust.load().digest() != trust.digest() {
            self.trust.store(Arc::clone(trust));
        }
    }

    /// Checks one call with what came with it. A proof that was taken can't be shown again.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn verify(
        &self,
        presented: &Presented<'_>,
        call: &Call<'_>,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let moment = self.moment(now);
        let authority = match (presented.token, presented.certificate) {
            (Some((scheme, token)), certificate) => {
                let read = self.read(token, moment).map_err(Refusal::Credential)?;
                let possession = Possession { scheme, token, proof: presented.proof, certificate };
                self.possesses(&read.authority, &possession, call, moment)?;
                read.authority.clone()
            }
            (None, Some(der)) if presented.proof.is_none() => {
                self.read_certificate(der, moment).map_err(Refusal::Credential)?.authority.clone()
            }
            (None, Some(_)) => return Err(Refusal::Malformed),
            (None, None) => return Err(Refusal::Missing),
        };
        self.live(&authority, now)?;
        covers(&authority, call)?;
        self.settings.break_glass.check(&authority)?;
        if authority.calls_max.is_some() && self.settings.calls == Calls::Refused {
            return Err(Refusal::Debit);
        }
        Ok(Verified { authority })
    }

    /// Checks once more what passed: that it has not expired and was not ended since. For calls that last, which are verified
    /// at their beginning only: asked from memory, before each message that is sent or acted on.
    ///
    /// # Errors
    /// Why nothing more may come of the call.
    pub fn still(&self, verified: &Verified, now: Timestamp) -> Result<(), Refusal> {
        let authority = &verified.authority;
        // That it had begun to be valid was checked.
        self.moment(now).within(i64::MIN, authority.expires.seconds()).map_err(Refusal::Credential)?;
        self.live(authority, now)
    }

    const fn moment(&self, now: Timestamp) -> Moment {
        Moment { now, leeway_seconds: self.settings.leeway_seconds }
    }

    fn live(&self, authority: &Authority, now: Timestamp) -> Result<(), Refusal> {
        match self.standing.standing(authority, now) {
            Status::Ended => Err(Refusal::Ended),
            Status::Live => Ok(()),
            Status::Unknown => Err(Refusal::StatusUnknown),
        }
    }

    /// A token's claims, whose signature is checked once as long as it is in use.
    fn read(&self, token: &str, moment: Moment) -> Result<Arc<Read>, NotVerified> {
        let trust = self.trust.load();
        self.known(&[trust.digest().as_bytes(), b"token", token.as_bytes()], moment, || {
            let claims = trust.token(token, moment)?;
            let not_before = claims.not_before.seconds();
            Ok(Read { authority: claims.into(), not_before })
        })
    }

    /// The same for a certificate.
    fn read_certificate(&self, der: &[u8], moment: Moment) -> Result<Arc<Read>, NotVerified> {
        let trust = self.trust.load();
        self.known(&[trust.digest().as_bytes(), b"certificate", der], moment, || {
            let claims = trust.certificate(der, moment)?;
            let not_before = claims.not_before.seconds();
            Ok(Read { authority: claims.into(), not_before })
        })
    }

    /// What is known under the parts, in its lifetime, or what `read` makes of them.
    fn known(
        &self,
        parts: &[&[u8]],
        moment: Moment,
        read: impl FnOnce() -> Result<Read, NotVerified>,
    ) -> Result<Arc<Read>, NotVerified> {
        let key = Digest::of_parts(parts);
        if let Some(read) = self.known.find(&key) {
            moment.within(read.not_before, read.authority.expires.seconds())?;
            return Ok(read);
        }
        let read = Arc::new(read()?);
        self.known.put(key, Arc::clone(&read));
        Ok(read)
    }
}

/// Audience, action, resource, constraints: what the credential is for against what is asked.
fn covers(authority: &Authority, call: &Call<'_>) -> Result<(), Refusal> {
    if authority.audience != *call.audience {
        return Err(Refusal::Audience);
    }
    let asked = call.asked.ok_or(Refusal::Unmapped)?;
    if authority.action != *asked.action {
        return Err(Refusal::Action);
    }
    if authority.resource != *asked.resource {
        return Err(Refusal::Resource);
    }
    let constraints = authority.constraints.as_deref().ok_or(Refusal::ConstraintUnknown)?;
    parameters(constraints, asked.parameters)?;
    match (&authority.args, &call.args) {
        (None, _) => Ok(()),
        (Some(bound), Some(args)) if bound == args => Ok(()),
        (Some(_), _) => Err(Refusal::Arguments),
    }
}

/// Each constraint has its parameter, within it, and each parameter its constraint: a call does nothing that
/// the decision behind the credential did not see.
fn parameters(constraints: &[Constraint], given: &[Parameter]) -> Result<(), Refusal> {
    let admitted = |parameter: &Parameter| {
        let constraint = constraints.iter().find(|constraint| constraint.name == parameter.name);
        constraint.is_some_and(|constraint| constraint.bound.admits(&parameter.value))
    };
    let present = |constraint: &Constraint| given.iter().any(|parameter| parameter.name == constraint.name);
    let all = given.iter().all(admitted) && constraints.iter().all(present);
    if all { Ok(()) } else { Err(Refusal::Parameter) }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

//! Operate: an operator's call is let through by the authorization table and recorded, both ways.

use std::fmt;
use std::sync::Arc;

use crate::domain::digest::Digest;
use crate::domain::entry::Call;
use crate::domain::ledger::Command;
use crate::domain::name::OperatorName;
use crate::domain::operator::{Operator, Role};
use crate::store::LedgerError;

use super::Broker;
use super::insist::patience;
use super::underway::{Place, Share, TooManyCalls};

/// An operator whose role covers the call, and whose call is recorded or will be by its own entry. Made
/// only here; every admin use case asks for it. The call is under way until the last one of it is dropped.
#[derive(Clone, Debug)]
pub struct Authorized {
    operator: Arc<Operator>,
    rpc: &'static str,
    place: Arc<Place>,
}

impl Authorized {
    /// Who.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// By which way in.
    pub fn caller(&self) -> &Caller {
        self.place.caller()
    }

    /// What they call: `Service/Method`.
    pub const fn rpc(&self) -> &'static str {
        self.rpc
    }
}

/// What an RPC asks of its caller: one row of the authorization table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// `Service/Method`.
    pub rpc: &'static str,
    /// The role that covers it.
    pub role: Role,
    /// Another one that covers it, too.
    pub also: Option<Role>,
    /// How it gets into the log.
    pub audit: Audit,
    /// Of which of the caller's places it takes one.
    pub share: Share,
    /// Why it takes an operator of all tenants, when it does.
    pub every_tenant: Option<&'static str>,
}

/// How a call gets into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// A `call` entry is written if that can be done: the call tells why it can't.
    Attempt,
    /// A `call` entry is written before it is answered.
    Call,
    /// The change that it makes is its entry; a refusal or dry run gets a `call` entry.
    Change,
    /// A `call` entry is written before it is answered, but in an emergency without room for it: what leads to a
    /// session, or to what ends something, must not wait for a record of having been looked at.
    Urgent,
}

/// Who calls, as the transport shows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// The operator whose enrolled certificate opened the connection.
    Certificate(OperatorName),
    /// The user of a process on this machine.
    Uid(u32),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(name) => write!(f, "the certificate's name `{name}`"),
            Self::Uid(uid) => write!(f, "uid `{uid}`"),
        }
    }
}

/// Why an operator's call was not let through.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// The call could not be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The operator's roles do not cover it.
    #[error("operator `{operator}` lacks the role `{role:?}`")]
    Role {
        /// Who.
        operator: String,
        /// What they lack.
        role: Role,
    },
    /// It is an operator of some tenants.
    #[error("{0}; this needs an operator of all tenants")]
    Scope(&'static str),
    /// They have too many under way. It is the only call of an operator that is not recorded: whoever has so many could fill the
    /// log with it.
    #[error(transparent)]
    TooMany(#[from] TooManyCalls),
    /// The caller is no operator of the registry.
    #[error("{0} is no operator")]
    Unknown(Caller),
}

impl Broker {
    /// Lets an operator's call through, or not, and records it.
    ///
    /// # Errors
    /// [`OperateError`]. A caller who is no operator at all is not recorded: anybody could fill the log. The edge counts
    /// them.
    pub async fn authorize(
        &self,
        caller: &Caller,
        requirement: Requirement,
    ) -> Result<Authorized, OperateError> {
        let operator = self.operator(caller).ok_or_else(|| OperateError::Unknown(caller.clone()))?;
        let place = self.underway.begin(caller, requirement.share)?;
        let role = operator.may(requirement.role) || requirement.also.is_some_and(|role| operator.may(role));
        let scope = requirement.every_tenant.filter(|_| !operator.tenants.is_empty());
        let allowed = role && scope.is_none();
        let recorded = match requirement.audit {
            Audit::Change if allowed => Ok(()),
            Audit::Urgent => self.record_urgent(&operator, requirement.rpc, allowed).await,
            Audit::Attempt | Audit::Call | Audit::Change if !allowed => {
                self.record_urgent(&operator, requirement.rpc, allowed).await
            }
            Audit::Attempt | Audit::Call | Audit::Change => {
                self.record_call(&operator, requirement.rpc, allowed).await
            }
        };
        if let (Err(error), Audit::Call | Audit::Change | Audit::Urgent) = (recorded, requirement.audit) {
            return Err(error.into());
        }
        if allowed {
            return Ok(Authorized { operator, rpc: requirement.rpc, place: Arc::new(place) });
        }
        if let (true, Some(why)) = (role, scope) {
            return Err(OperateError::Scope(why));
        }
        Err(OperateError::Role { operator: operator.name.to_string(), role: requirement.role })
    }

    /// The operator that the caller is, as the registry has it now.
    pub fn operator(&self, caller: &Caller) -> Option<Arc<Operator>> {
        let rules = self.rules();
        let found = match caller {
            Caller::Certificate(name) => rules.registry.operator_by_name(name),
            Caller::Uid(uid) => rules.registry.operator_by_uid(*uid),
        };
        found.map(Arc::clone)
    }

    /// Records a call that is refused, or that must be answered in an emergency whose journal has no room for it, or
    /// takes nothing: then the daemon's own log has it, and the answer is what it would have been.
    pub(super) async fn record_urgent(
        &self,
        operator: &Operator,
        rpc: &str,
        allowed: bool,
    ) -> Result<(), LedgerError> {
        match self.record_call(operator, rpc, allowed).await {
            Err(error @ (LedgerError::EmergencyFull | LedgerError::Stopped(_)))
                if self.emergency().is_some() =>
            {
                tracing::warn!(operator = %operator.name, rpc, allowed, %error, "a call is not in the log");
                Ok(())
            }
            recorded => recorded,
        }
    }

    pub(super) async fn record_call(
        &self,
        operator: &Operator,
        rpc: &str,
        allowed: bool,
    ) -> Result<(), LedgerError> {
        let (operator, rpc) = (operator.name.clone(), rpc.to_owned());
        let call = Call { allowed, operator, reason: None, rpc, statement: None };
        self.ledger.submit(Command::Call(call)).await.map(|_| ())
    }

    /// Records that a call that changes something was refused after the table let it through: why, and which signed text
    /// it was about. What can't be recorded is logged, for the caller is told why they were refused.
    pub async fn refused(&self, by: &Authorized, reason: &'static str, statement: Option<Digest>) {
        let (operator, rpc) = (by.operator.name.clone(), by.rpc.to_owned());
        tracing::warn!(%operator, rpc, reason, "a call was refused");
        let call = Call { allowed: false, operator, reason: Some(reason.to_owned()), rpc, statement };
        if let Err(error) = self.insist(Command::Call(call), patience()).await {
            tracing::error!(%error, "a refused call was not recorded");
        }
    }
}

//! Who calls what only operators may, and is none: counted, and now and then said in the daemon's log. The log of the
//! broker has operators' calls alone, or anybody could fill it (promise P9).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::{Layer, Service};

use crate::attest::unix::Peer;
use crate::attest::x509::{Certified, Standing};

use super::authz;
use super::metrics::RejectedOperators;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Why such a call was answered with UNAUTHENTICATED, as far as a label may say so.
const REASONS: [&str; 10] = [
    "certificate-expired",
    "certificate-removed",
    "descriptors-passed",
    "no-evidence",
    "not-an-operator",
    "other-sender",
    "process-changed",
    "process-gone",
    "process-unknown",
    "user-unmapped",
];

/// Puts [`Watched`] before the services of one listener.
#[derive(Clone)]
pub struct WatchStrangers {
    rejected: RejectedOperators,
}

impl WatchStrangers {
    /// Counts with `rejected`.
    pub const fn new(rejected: RejectedOperators) -> Self {
        Self { rejected }
    }
}

impl<S> Layer<S> for WatchStrangers {
    type Service = Watched<S>;

    fn layer(&self, inner: S) -> Watched<S> {
        Watched { inner, rejected: self.rejected.clone() }
    }
}

/// A service that changes no answer, and looks at those that no operator got.
#[derive(Clone)]
pub struct Watched<S> {
    inner: S,
    rejected: RejectedOperators,
}

impl<S> Service<Request<Body>> for Watched<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Some(rpc) = operators_rpc(request.uri().path()) else {
            return Box::pin(self.inner.call(request));
        };
        let caller = Caller::of(&request);
        let rejected = self.rejected.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(reason) = answer.extensions().get::<Status>().and_then(rejection) {
                rejected.count(reason, rpc, || caller.to_string());
            }
            Ok(answer)
        })
    }
}

/// The RPC of the authorization table that a path names.
fn operators_rpc(path: &str) -> Option<&'static str> {
    let rpc = path.strip_prefix('/')?;
    authz::TABLE.iter().map(|row| row.rpc).find(|known| *known == rpc)
}

/// Why no operator got this answer; `None` when one may have: their refusals are in the log.
fn rejection(status: &Status) -> Option<&'static str> {
    match status.code() {
        Code::Unauthenticated => {
            let info = status.get_details_error_info();
            let known = info.and_then(|info| REASONS.into_iter().find(|known| *known == info.reason));
            Some(known.unwrap_or("other"))
        }
        // An RPC of the table that is not served here: it was tried at a door that is not for operators.
        Code::Unimplemented => Some("not-served-here"),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => None,
    }
}

/// Who it was, as far as the transport shows: for whoever reads the daemon's log.
enum Caller {
    Certified(Arc<Certified>),
    Nobody,
    Process(Arc<Peer>),
}

impl Caller {
    fn of<B>(request: &Request<B>) -> Self {
        let extensions = request.extensions();
        match (extensions.get::<Arc<Peer>>(), extensions.get::<Arc<Certified>>()) {
            (Some(peer), _) => Self::Process(Arc::clone(peer)),
            (None, Some(certified)) => Self::Certified(Arc::clone(certified)),
            (None, None) => Self::Nobody,
        }
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Certified(certified) => match &certified.standing {
                Standing::Enrolled(who, serial) => write!(f, "{who}, certificate {serial}"),
                Standing::Workload(_) => f.write_str("a workload of another trust domain"),
            },
            Self::Nobody => f.write_str("nobody that is known"),
            Self::Process(peer) => match peer.credentials() {
                Ok(found) => write!(f, "uid {}, pid {}", found.uid, found.pid),
                Err(_) => f.write_str("a process that is not to be believed"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::status::{Refused, status};
    use crate::attest::Rejected;
    use crate::broker::operate::{Caller as Operator, OperateError};
    use crate::broker::standing::StandingError;
    use crate::domain::operator::Role;

    #[test]
    fn whoever_is_no_operator_is_told_from_one_who_may_not() {
        let unknown = OperateError::Unknown(Operator::Uid(7));
        let lacks = OperateError::Role { operator: "ann".into(), role: Role::Admin };
        for (answer, expected) in [
            (status(unknown), Some("not-an-operator")),
            (status(Refused::no_peer()), Some("no-evidence")),
            (status(Rejected::OtherSender), Some("other-sender")),
            (status(StandingError::Expired), Some("certificate-expired")),
            (status(StandingError::Removed), Some("certificate-removed")),
            (Status::unimplemented(""), Some("not-served-here")),
            (Status::unauthenticated("without a reason"), Some("other")),
            (status(lacks), None),
            (status(Refused::not_found("session")), None),
        ] {
            assert_eq!(rejection(&answer), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_table_s_rpcs_are_watched_and_nothing_else() {
        for row in authz::TABLE {
            assert_eq!(operators_rpc(&format!("/{}", row.rpc)), Some(row.rpc));
        }
        for other in
            ["/grpc.health.v1.Health/Check", "/hotwork.v1.AdminService/", "hotwork.v1.AdminService/Revoke"]
        {
            assert_eq!(operators_rpc(other), None, "{other}");
        }
    }
}

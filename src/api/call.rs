//! An operator's call on its way in: the authorization table first, then whatever its request says, so that each call of
//! an operator is in the log once, a bad one too.

use std::future::Future;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::operate::{Audit, Authorized, Requirement};

use super::peer;
use super::status::Refused;

/// Lets a call through, or not, and answers it. One that changes nothing is in the log before it does anything; of one that
/// changes something the change is the entry, and whatever refuses it, a bad field too, is one.
///
/// It is a task of its own: a caller that goes away leaves nothing half done, no refusal unrecorded, and no work that takes
/// none of the operator's places ([`crate::broker::underway`]).
pub(super) async fn call<M, T, F>(
    broker: &Arc<Broker>,
    request: Request<M>,
    row: Requirement,
    act: impl FnOnce(Arc<Broker>, Authorized, M) -> F + Send + 'static,
) -> Result<Response<T>, Status>
where
    M: Send + 'static,
    F: Future<Output = Result<T, Refused>> + Send,
    T: Send + 'static,
{
    let caller = peer::caller(&request)?;
    let (broker, message) = (Arc::clone(broker), request.into_inner());
    let whole = async move {
        let by = broker.authorize(&caller, row).await?;
        let done = act(Arc::clone(&broker), by.clone(), message).await;
        if let (Err(refused), Audit::Change) = (&done, row.audit) {
            broker.refused(&by, refused.reason(), refused.statement()).await;
        }
        done
    };
    let done = tokio::spawn(whole).await.unwrap_or_else(|_| Err(Refused::interrupted()));
    done.map(Response::new).map_err(Status::from)
}

//! An operator's call on its way in: the authorization table first, then whatever its request says, so that each call of
//! an operator is in the log once, a bad one too.

use std::future::Future;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::operate::{Authorized, Requirement};

use super::peer;
use super::status::{Refused, status};

/// Lets a call through that changes nothing, or not; it is in the log before it does anything. What changes something
/// goes through [`change`].
pub(super) async fn authorize<T>(
    broker: &Broker,
    request: &Request<T>,
    row: Requirement,
) -> Result<Authorized, Status> {
    let caller = peer::caller(request)?;
    broker.authorize(&caller, row).await.map_err(status)
}

/// Lets a call through that changes something, or not, and does it. The change is its entry; whatever refuses it, a bad
/// field too, is one. A caller that goes away leaves nothing half done, and no refusal unrecorded; so an operator has a
/// bounded number of them under way, and one beyond it is the only call that is in no log but the daemon's own.
pub(super) async fn change<M, T, F>(
    broker: &Arc<Broker>,
    request: Request<M>,
    row: Requirement,
    act: impl FnOnce(Arc<Broker>, Authorized, M) -> F,
) -> Result<Response<T>, Status>
where
    F: Future<Output = Result<T, Refused>> + Send + 'static,
    T: Send + 'static,
{
    let by = authorize(broker, &request, row).await?;
    let underway = broker.begin_change(&by).map_err(status)?;
    let act = act(Arc::clone(broker), by.clone(), request.into_inner());
    let broker = Arc::clone(broker);
    let whole = async move {
        let done = act.await;
        if let Err(refused) = &done {
            broker.refused(&by, refused.reason(), refused.statement()).await;
        }
        drop(underway);
        done
    };
    let done = tokio::spawn(whole).await.unwrap_or_else(|_| Err(Refused::interrupted()));
    done.map(Response::new).map_err(Status::from)
}

//! The one place where every RPC over TCP is held to the certificate that opened its connection: its end,
//! and whether it is still enrolled. It stands before every service, reflection and health included.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::attest::x509::Certified;
use crate::broker::Broker;

use super::super::status::{Refused, status};

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Puts [`Held`] before a service.
#[derive(Clone)]
pub struct HeldToCertificate {
    broker: Arc<Broker>,
}

impl HeldToCertificate {
    /// Asks this broker.
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

impl<S> Layer<S> for HeldToCertificate {
    type Service = Held<S>;

    fn layer(&self, inner: S) -> Held<S> {
        Held { inner, broker: Arc::clone(&self.broker) }
    }
}

/// A service that is reached with a good certificate only.
#[derive(Clone)]
pub struct Held<S> {
    inner: S,
    broker: Arc<Broker>,
}

impl<S> Held<S> {
    fn check<B>(&self, request: &Request<B>) -> Result<(), Status> {
        // Without a peer there is no certificate, and no service either.
        let peer = request.extensions().get::<Arc<Certified>>().ok_or_else(Refused::no_peer)?;
        self.broker.check_standing(peer).map_err(status)
    }
}

impl<S> Service<Request<Body>> for Held<S>
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
        match self.check(&request) {
            Ok(()) => Box::pin(self.inner.call(request)),
            Err(refused) => Box::pin(ready(Ok(refused.into_http()))),
        }
    }
}

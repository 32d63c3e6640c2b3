//! `BreakGlassService`: the way in when everything else is down. Handlers convert, call and render.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::break_glass::Act;
use crate::broker::operate::Authorized;
use crate::proto::v1;
use crate::proto::v1::break_glass_service_server::BreakGlassService;

use super::call::call;
use super::status::Refused;
use super::{authz, convert, render};

/// The service for responders.
pub struct Responders {
    broker: Arc<Broker>,
}

impl Responders {
    /// The service over the broker.
    pub const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

async fn sign(
    broker: Arc<Broker>,
    by: Authorized,
    act: Act,
    signed: Option<v1::SignedStatement>,
) -> Result<Option<v1::Progress>, Refused> {
    let text = signed.as_ref().map(|signed| signed.statement.clone()).unwrap_or_default();
    let taken = async {
        let given = convert::glass::signed(signed)?;
        Ok::<_, Refused>(broker.sign_break_glass(&by, act, given).await?)
    };
    let progress = taken.await.map_err(|refused| refused.about(&text))?;
    Ok(Some(render::glass::progress(&progress)))
}

#[tonic::async_trait]
impl BreakGlassService for Responders {
    async fn prepare(
        &self,
        request: Request<v1::PrepareRequest>,
    ) -> Result<Response<v1::PrepareResponse>, Status> {
        call(&self.broker, request, authz::PREPARE, |broker, by, message| async move {
            let asked = convert::glass::prepare(message)?;
            Ok(render::glass::prepared(&broker.prepare_break_glass(&by, asked)?))
        })
        .await
    }

    async fn open(&self, request: Request<v1::OpenRequest>) -> Result<Response<v1::OpenResponse>, Status> {
        call(&self.broker, request, authz::OPEN, |broker, by, message| async move {
            let progress = sign(broker, by, Act::Open, message.signed).await?;
            Ok(v1::OpenResponse { progress })
        })
        .await
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendResponse>, Status> {
        call(&self.broker, request, authz::EXTEND, |broker, by, message| async move {
            let progress = sign(broker, by, Act::Extend, message.signed).await?;
            Ok(v1::ExtendResponse { progress })
        })
        .await
    }

    async fn drill(&self, request: Request<v1::DrillRequest>) -> Result<Response<v1::DrillResponse>, Status> {
        call(&self.broker, request, authz::DRILL, |broker, by, message| async move {
            let progress = sign(broker, by, Act::Drill, message.signed).await?;
            Ok(v1::DrillResponse { progress })
        })
        .await
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> Result<Response<v1::CloseResponse>, Status> {
        call(&self.broker, request, authz::CLOSE, |broker, by, message| async move {
            let (session, reason) = convert::glass::close(&message)?;
            let done = broker.close_session(&by, session, reason).await?;
            let time = Some(render::timestamp(done.time));
            Ok(v1::CloseResponse { time, log_index: done.index })
        })
        .await
    }

    async fn review(
        &self,
        request: Request<v1::ReviewRequest>,
    ) -> Result<Response<v1::ReviewResponse>, Status> {
        call(&self.broker, request, authz::REVIEW, |broker, by, message| async move {
            let (session, finding) = convert::glass::review(&message)?;
            let done = broker.review_session(&by, session, finding).await?;
            let time = Some(render::timestamp(done.time));
            Ok(v1::ReviewResponse { time, log_index: done.index })
        })
        .await
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        call(&self.broker, request, authz::LIST_BREAK_GLASS, |broker, by, _| async move {
            Ok(render::glass::list(&broker.break_glass(by.operator())))
        })
        .await
    }
}

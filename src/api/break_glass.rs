//! `BreakGlassService`: the way in when everything else is down. Handlers convert, call and render.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::break_glass::Act;
use crate::broker::operate::{Authorized, Requirement};
use crate::proto::v1;
use crate::proto::v1::break_glass_service_server::BreakGlassService;

use super::admin::authorize;
use super::status::status;
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

    async fn authorize<T>(&self, request: &Request<T>, row: Requirement) -> Result<Authorized, Status> {
        authorize(&self.broker, request, row).await
    }

    async fn sign(
        &self,
        by: &Authorized,
        act: Act,
        signed: Option<v1::SignedStatement>,
    ) -> Result<Option<v1::Progress>, Status> {
        let given = convert::glass::signed(signed).map_err(status)?;
        let progress = self.broker.sign_break_glass(by, act, given).await.map_err(status)?;
        Ok(Some(render::glass::progress(&progress)))
    }
}

#[tonic::async_trait]
impl BreakGlassService for Responders {
    async fn prepare(
        &self,
        request: Request<v1::PrepareRequest>,
    ) -> Result<Response<v1::PrepareResponse>, Status> {
        let by = self.authorize(&request, authz::PREPARE).await?;
        let asked = convert::glass::prepare(request.into_inner()).map_err(status)?;
        let prepared = self.broker.prepare_break_glass(&by, asked).map_err(status)?;
        Ok(Response::new(render::glass::prepared(&prepared)))
    }

    async fn open(&self, request: Request<v1::OpenRequest>) -> Result<Response<v1::OpenResponse>, Status> {
        let by = self.authorize(&request, authz::OPEN).await?;
        let progress = self.sign(&by, Act::Open, request.into_inner().signed).await?;
        Ok(Response::new(v1::OpenResponse { progress }))
    }

    async fn extend(
        &self,
        request: Request<v1::ExtendRequest>,
    ) -> Result<Response<v1::ExtendResponse>, Status> {
        let by = self.authorize(&request, authz::EXTEND).await?;
        let progress = self.sign(&by, Act::Extend, request.into_inner().signed).await?;
        Ok(Response::new(v1::ExtendResponse { progress }))
    }

    async fn drill(&self, request: Request<v1::DrillRequest>) -> Result<Response<v1::DrillResponse>, Status> {
        let by = self.authorize(&request, authz::DRILL).await?;
        let progress = self.sign(&by, Act::Drill, request.into_inner().signed).await?;
        Ok(Response::new(v1::DrillResponse { progress }))
    }

    async fn close(&self, request: Request<v1::CloseRequest>) -> Result<Response<v1::CloseResponse>, Status> {
        let by = self.authorize(&request, authz::CLOSE).await?;
        let (session, reason) = convert::glass::close(request.get_ref()).map_err(status)?;
        let done = self.broker.close_session(&by, session, reason).await.map_err(status)?;
        let time = Some(render::timestamp(done.time));
        Ok(Response::new(v1::CloseResponse { time, log_index: done.index }))
    }

    async fn review(
        &self,
        request: Request<v1::ReviewRequest>,
    ) -> Result<Response<v1::ReviewResponse>, Status> {
        let by = self.authorize(&request, authz::REVIEW).await?;
        let (session, finding) = convert::glass::review(request.get_ref()).map_err(status)?;
        let done = self.broker.review_session(&by, session, finding).await.map_err(status)?;
        let time = Some(render::timestamp(done.time));
        Ok(Response::new(v1::ReviewResponse { time, log_index: done.index }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Result<Response<v1::ListResponse>, Status> {
        let by = self.authorize(&request, authz::LIST_BREAK_GLASS).await?;
        Ok(Response::new(render::glass::list(&self.broker.break_glass(by.operator()))))
    }
}

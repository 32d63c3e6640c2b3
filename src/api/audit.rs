//! `AuditService`: reads and proofs of the log, for operators.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::broker::operate::{Authorized, Requirement};
use crate::proto::v1;
use crate::proto::v1::audit_service_server::AuditService;
use crate::store::{ReadError, Reader};

use super::authz;
use super::call::authorize;
use super::convert::{self, BadField, page};
use super::status::{Refused, status};

/// The service for readers of the log.
pub struct Audit {
    broker: Arc<Broker>,
}

impl Audit {
    /// The service over this broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }

    async fn authorize<T>(&self, request: &Request<T>, row: Requirement) -> Result<Authorized, Status> {
        authorize(&self.broker, request, row).await
    }

    async fn read<T, F>(&self, read: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    {
        self.broker.read(read).await.map_err(status)
    }

    fn size(&self) -> u64 {
        self.broker.ledger().status().size
    }

    /// An index that is in the log.
    fn index(&self, index: u64) -> Result<u64, Status> {
        let size = self.size();
        let expected = || BadField::new("index", format!("an index below the log's size, `{size}`"));
        if index < size { Ok(index) } else { Err(status(expected())) }
    }
}

/// An entry's bytes as text: they are canonical JSON, so anything else is damage.
fn entry(index: u64, bytes: Vec<u8>) -> Result<v1::LogEntry, Status> {
    let json = String::from_utf8(bytes).map_err(|error| {
        tracing::error!(index, %error, "an entry of the log is not text");
        Status::data_loss("an entry of the log is damaged; run `hotwork audit verify`")
    })?;
    Ok(v1::LogEntry { index, json })
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        self.authorize(&request, authz::GET_CHECKPOINT).await?;
        let checkpoint = self.broker.ledger().status().checkpoint;
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint }))
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        self.authorize(&request, authz::GET_ENTRY).await?;
        let index = self.index(request.get_ref().index)?;
        let found = self.read(move |reader| reader.entry(index)).await?;
        let bytes = found.ok_or_else(|| Refused::not_found("entry"))?;
        Ok(Response::new(v1::GetEntryResponse { entry: Some(entry(index, bytes)?) }))
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        self.authorize(&request, authz::LIST_ENTRIES).await?;
        let count = page::size(request.get_ref().page_size).map_err(status)?;
        let log_size = self.size();
        let newest = log_size.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
        let first = request.get_ref().first_index.unwrap_or(newest);
        let found = self.read(move |reader| reader.entries(first, count)).await?;
        let numbered = (first..).zip(found);
        let entries = numbered.map(|(index, bytes)| entry(index, bytes)).collect::<Result<_, _>>()?;
        Ok(Response::new(v1::ListEntriesResponse { entries, log_size }))
    }

    async fn prove_inclusion(
        &self,
        request: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::ProveInclusionResponse>, Status> {
        self.authorize(&request, authz::PROVE_INCLUSION).await?;
        let index = self.index(request.get_ref().index)?;
        let receipt = self.read(move |reader| reader.inclusion(index)).await?;
        Ok(Response::new(v1::ProveInclusionResponse { receipt }))
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        self.authorize(&request, authz::PROVE_CONSISTENCY).await?;
        let old = convert::operate::old_size(request.get_ref().old_size, self.size()).map_err(status)?;
        let (hashes, checkpoint) = self.read(move |reader| reader.consistency(old)).await?;
        let hashes = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        Ok(Response::new(v1::ProveConsistencyResponse { hashes, checkpoint }))
    }
}

//! `AuditService`: reads and proofs of the log, for operators.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::broker::Broker;
use crate::proto::v1;
use crate::proto::v1::audit_service_server::AuditService;

use super::authz;
use super::call::call;
use super::convert::{self, BadField, page};
use super::status::Refused;

/// The service for readers of the log.
pub struct Audit {
    broker: Arc<Broker>,
}

impl Audit {
    /// The service over this broker.
    pub fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }
}

/// How many entries there are.
fn size(broker: &Broker) -> u64 {
    broker.ledger().status().size
}

/// An index that is in the log.
fn index(broker: &Broker, index: u64) -> Result<u64, BadField> {
    let size = size(broker);
    let expected = || BadField::new("index", format!("an index below the log's size, `{size}`"));
    if index < size { Ok(index) } else { Err(expected()) }
}

/// An entry's bytes as text: they are canonical JSON, so anything else is damage.
fn entry(index: u64, bytes: Vec<u8>) -> Result<v1::LogEntry, Refused> {
    let json = String::from_utf8(bytes).map_err(|error| {
        tracing::error!(index, %error, "an entry of the log is not text");
        Refused::damaged()
    })?;
    Ok(v1::LogEntry { index, json })
}

#[tonic::async_trait]
impl AuditService for Audit {
    async fn get_checkpoint(
        &self,
        request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        call(&self.broker, request, authz::GET_CHECKPOINT, |broker, _, _| async move {
            let checkpoint = broker.ledger().status().checkpoint;
            Ok(v1::GetCheckpointResponse { checkpoint })
        })
        .await
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        call(&self.broker, request, authz::GET_ENTRY, |broker, _, message| async move {
            let index = index(&broker, message.index)?;
            let found = broker.read(move |reader| reader.entry(index)).await?;
            let bytes = found.ok_or_else(|| Refused::not_found("entry"))?;
            Ok(v1::GetEntryResponse { entry: Some(entry(index, bytes)?) })
        })
        .await
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Result<Response<v1::ListEntriesResponse>, Status> {
        call(&self.broker, request, authz::LIST_ENTRIES, |broker, _, message| async move {
            let count = page::size(message.page_size)?;
            let log_size = size(&broker);
            let newest = log_size.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
            let first = message.first_index.unwrap_or(newest);
            let found = broker.read(move |reader| reader.entries(first, count)).await?;
            let numbered = (first..).zip(found);
            let entries = numbered.map(|(index, bytes)| entry(index, bytes)).collect::<Result<_, _>>()?;
            Ok(v1::ListEntriesResponse { entries, log_size })
        })
        .await
    }

    async fn prove_inclusion(
        &self,
        request: Request<v1::ProveInclusionRequest>,
    ) -> Result<Response<v1::ProveInclusionResponse>, Status> {
        call(&self.broker, request, authz::PROVE_INCLUSION, |broker, _, message| async move {
            let index = index(&broker, message.index)?;
            let receipt = broker.read(move |reader| reader.inclusion(index)).await?;
            Ok(v1::ProveInclusionResponse { receipt })
        })
        .await
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        call(&self.broker, request, authz::PROVE_CONSISTENCY, |broker, _, message| async move {
            let old = convert::operate::old_size(message.old_size, size(&broker))?;
            let (hashes, checkpoint) = broker.read(move |reader| reader.consistency(old)).await?;
            let hashes = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
            Ok(v1::ProveConsistencyResponse { hashes, checkpoint })
        })
        .await
    }
}

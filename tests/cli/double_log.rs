//! The log of the double: one entry, and nothing to prove.

use std::collections::HashMap;
use std::time::Duration;

use hotwork::proto::v1;
use hotwork::proto::v1::audit_service_server::AuditService;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::double::{Answer, ID, Wire};

#[tonic::async_trait]
impl AuditService for Wire {
    async fn get_checkpoint(
        &self,
        _: Request<v1::GetCheckpointRequest>,
    ) -> Answer<v1::GetCheckpointResponse> {
        Ok(Response::new(v1::GetCheckpointResponse {
            checkpoint: "o\n5\nroot\n\n\u{2014} o sig\n".to_owned(),
        }))
    }

    async fn get_entry(&self, request: Request<v1::GetEntryRequest>) -> Answer<v1::GetEntryResponse> {
        let entry = Some(v1::LogEntry { index: request.into_inner().index, json: "{}".to_owned() });
        Ok(Response::new(v1::GetEntryResponse { entry }))
    }

    async fn list_entries(
        &self,
        request: Request<v1::ListEntriesRequest>,
    ) -> Answer<v1::ListEntriesResponse> {
        let first = request.into_inner().first_index.unwrap_or(4);
        let json = r#"{"event":{"start":{"dev":true,"version":"0.1.0"}},"time":1000,"v":1}"#;
        let entries = vec![v1::LogEntry { index: first, json: json.to_owned() }];
        Ok(Response::new(v1::ListEntriesResponse { entries, log_size: first + 1 }))
    }

    async fn prove_inclusion(
        &self,
        _: Request<v1::ProveInclusionRequest>,
    ) -> Answer<v1::ProveInclusionResponse> {
        Ok(Response::new(v1::ProveInclusionResponse {
            receipt: "c2sp.org/tlog-proof@v1\nindex 4\n".to_owned(),
        }))
    }

    async fn prove_consistency(
        &self,
        _: Request<v1::ProveConsistencyRequest>,
    ) -> Answer<v1::ProveConsistencyResponse> {
        Err(Status::unimplemented("not here"))
    }
}

pub fn refusal(code: Code, reason: &str) -> Status {
    let metadata = HashMap::from([("decision_id".to_owned(), ID.to_owned())]);
    let mut details = ErrorDetails::with_error_info(reason, "hotwork", metadata);
    details.set_retry_info(Some(Duration::from_secs(3)));
    Status::with_error_details(code, "refused\u{1b}[2J", details)
}

/// Of the destinations `good` and `bad`, or the one that is asked for.
pub fn test_notifier(name: &str) -> Answer<v1::TestNotifierResponse> {
    let test = |name: &str| v1::NotifierTest {
        name: name.to_owned(),
        delivered: name == "good",
        problem: if name == "good" { String::new() } else { "connect: refused\u{1b}[2J".to_owned() },
    };
    match name {
        "" => Ok(Response::new(v1::TestNotifierResponse { tests: vec![test("good"), test("bad")] })),
        "good" | "bad" => Ok(Response::new(v1::TestNotifierResponse { tests: vec![test(name)] })),
        _ => Err(refusal(Code::NotFound, "notifier-not-found")),
    }
}

//! Bad input on the wire: the right status, a message that names the field, and a broker that goes on.
//!
//! The requests are made from the contract, so that no RPC and no field of one is forgotten.

pub mod contract;
mod table;

use std::collections::BTreeSet;

use hotwork::proto::v1::{
    ActionRequest, IntrospectRequest, IssueTokenRequest, IssueTokenResponse, ListEntriesRequest,
};
use prost::Message as _;
use prost_reflect::MethodDescriptor;
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::Daemon;

use contract::{Field, base, call, message, methods, name};
use table::{Rpc, table};

/// The rows of an RPC.
fn rows(method: &MethodDescriptor) -> Rpc {
    let rows = table().into_iter().find(|rpc| rpc.name == name(method));
    rows.unwrap_or_else(|| panic!("`{}` has no rows in tests/end_to_end/bad_input/table.rs", name(method)))
}

#[test]
fn every_rpc_has_its_rows_and_every_field_is_in_a_good_request() {
    let named: Vec<String> = table().iter().map(|rpc| rpc.name.to_owned()).collect();
    let known: BTreeSet<String> = methods().iter().map(name).collect();
    assert_eq!(named.iter().cloned().collect::<BTreeSet<_>>(), known);
    assert_eq!(named.len(), known.len(), "an RPC has its rows twice");
    for method in methods() {
        let rpc = rows(&method);
        let fields = Field::all(&method.input());
        for field in &fields {
            let path = field.path();
            let there = base(&rpc, field).is_some();
            assert_eq!(
                there,
                !rpc.never.contains(&path.as_str()),
                "{}: `{path}` in a good request",
                rpc.name
            );
        }
        let words = [rpc.optional, rpc.any, rpc.text, rpc.never].concat();
        let words = words.into_iter().chain(rpc.bad.iter().chain(&rpc.together).map(|(field, _)| *field));
        for word in words {
            assert!(fields.iter().any(|field| field.path() == word), "{}: no field `{word}`", rpc.name);
        }
    }
}

/// A bad request, the field that is to be named, and whether what it was left out of may be named instead.
struct Bad {
    request: Vec<u8>,
    field: Option<Field>,
    left_out: bool,
}

/// Every bad request to one RPC.
fn bad_requests(method: &MethodDescriptor) -> Vec<Bad> {
    let rpc = rows(method);
    let fields = Field::all(&method.input());
    let mut found = vec![Bad { request: vec![0x80], field: None, left_out: false }];
    for field in fields.iter().filter(|field| base(&rpc, field).is_some()) {
        let (path, good) = (field.path(), message(method, base(&rpc, field).unwrap()));
        let mut bad = field.malformed(&good);
        if !rpc.any.contains(&path.as_str()) {
            bad.extend(field.senseless(&good, rpc.text.contains(&path.as_str())));
        }
        bad.extend(field.unknown_inside(&good));
        let bad = bad.into_iter().map(|request| (request, false));
        let must = !field.may_be_left_out() && !rpc.optional.contains(&path.as_str());
        let left_out = must.then(|| (field.left_out(&good), true));
        let bad = bad.chain(left_out);
        found.extend(bad.map(|(request, left_out)| Bad { request, field: Some(field.clone()), left_out }));
    }
    let named = |word: &str| fields.iter().find(|field| field.path() == word).cloned();
    for (word, value) in &rpc.bad {
        let field = named(word).unwrap();
        let mut json = base(&rpc, &field).unwrap().clone();
        *json.pointer_mut(&field.pointer()).unwrap() = value.clone();
        found.push(Bad {
            request: message(method, &json).encode_to_vec(),
            field: Some(field),
            left_out: true,
        });
    }
    for (word, json) in rpc.together {
        found.push(Bad {
            request: message(method, &json).encode_to_vec(),
            field: named(word),
            left_out: false,
        });
    }
    found
}

/// The field that a refusal names, without places in lists: in its text and in its details.
fn named(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let field = &details.bad_request().expect("a bad request's details").field_violations[0].field;
    assert!(status.message().starts_with(&format!("{field}: expected ")), "{status:?}");
    let mut parts = field.split('[');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |path, part| path + part.split_once(']').unwrap().1)
}

impl Bad {
    fn is_named(&self, field: &str) -> bool {
        match &self.field {
            None => field == "message",
            Some(own) if self.left_out => own.is_missed(field),
            // What no version knows is named by its number.
            Some(own) => own.is_named(field),
        }
    }
}

async fn channel(daemon: &Daemon, method: &MethodDescriptor) -> Channel {
    let own = match method.parent_service().name() {
        "AdminService" | "AuditService" | "BreakGlassService" => "HOTWORK_ADMIN_ENDPOINT",
        _ => "HOTWORK_ENDPOINT",
    };
    daemon.channel(own).await
}

/// The kinds of the log's entries.
async fn logged(daemon: &Daemon) -> BTreeSet<String> {
    let request = ListEntriesRequest { first_index: Some(0), page_size: 1000 };
    let answer = daemon.audit().await.list_entries(request).await.unwrap().into_inner();
    assert_eq!(answer.log_size, answer.entries.len() as u64, "one page holds them all");
    let entries = answer.entries.iter().map(|entry| serde_json::from_str::<Value>(&entry.json).unwrap());
    entries
        .flat_map(|entry| entry["event"].as_object().unwrap().keys().cloned().collect::<Vec<_>>())
        .collect()
}

#[tokio::test]
async fn each_bad_field_of_each_rpc_is_named_and_nothing_comes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut expected = logged(&daemon).await;
    expected.insert("call".to_owned());
    let mut wrong = Vec::new();
    for method in methods() {
        let channel = channel(&daemon, &method).await;
        let unknown = Bad { request: vec![0xb8, 0x3e, 1], field: None, left_out: false };
        let status = call(&channel, &method, unknown.request).await.expect_err("an unknown field was taken");
        assert_eq!(named(&status), "999", "{}", name(&method));
        for bad in bad_requests(&method) {
            let about = bad.field.as_ref().map(Field::path);
            let start = &bad.request[..bad.request.len().min(80)];
            match call(&channel, &method, bad.request.clone()).await {
                Err(status) if status.code() == Code::InvalidArgument && bad.is_named(&named(&status)) => {}
                other => wrong.push(format!("{} {about:?} {start:?}: {other:?}", name(&method))),
            }
        }
    }
    assert!(wrong.is_empty(), "{} answered wrongly:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(logged(&daemon).await, expected, "only calls were recorded");
    daemon.json(&["issue", "demo.read", "--resource", "demo/hello"]);
}

#[tokio::test]
async fn each_good_request_is_answered_and_what_is_optional_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut methods = methods();
    // It locks everything for a second.
    methods.sort_by_key(|method| method.name() == "Lock");
    for method in methods {
        let (rpc, channel) = (rows(&method), channel(&daemon, &method).await);
        for (json, code) in &rpc.good {
            let answer = call(&channel, &method, message(&method, json).encode_to_vec()).await;
            let answered = answer.as_ref().map_or_else(Status::code, |()| Code::Ok);
            assert_eq!(answered, *code, "{} {json}: {answer:?}", rpc.name);
        }
        for field in Field::all(&method.input()).iter().filter(|field| rpc.optional.contains(&&*field.path()))
        {
            let good = message(&method, base(&rpc, field).unwrap());
            let answer = call(&channel, &method, field.left_out(&good)).await;
            let refused = answer.as_ref().is_err_and(|status| status.code() == Code::InvalidArgument);
            assert!(!refused, "{} without {}: {answer:?}", rpc.name, field.path());
        }
    }
}

fn good() -> ActionRequest {
    ActionRequest { action: "demo.read".into(), resource: "demo/x".into(), ..ActionRequest::default() }
}

#[tokio::test]
async fn anything_that_is_not_a_live_credential_of_ours_is_inactive() {
    use hotwork::proto::v1::introspect_request::Credential;
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut verifier = daemon.verifier().await;
    for token in ["a.b.c", "..", "eyJhbGciOiJub25lIn0.e30."] {
        let credential = Some(Credential::Token(token.into()));
        let answer = verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner();
        assert!(!answer.active && answer.credential.is_none(), "{token}");
    }
    let credential = Some(Credential::CertificateDer(vec![0x30; 500]));
    assert!(!verifier.introspect(IntrospectRequest { credential }).await.unwrap().into_inner().active);
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_and_the_broker_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let mut agent = daemon.agent().await;
    let request = Some(ActionRequest { purpose: "x".repeat(10 << 20), ..good() });
    let status = agent.issue_token(IssueTokenRequest { request, binding: None }).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    let mut agent = daemon.agent().await;
    let token = IssueTokenRequest { request: Some(good()), binding: None };
    assert!(agent.issue_token(token).await.is_ok());
}

/// A request of a later version: the field can be a limit that its sender believes to be kept.
#[derive(Clone, PartialEq, prost::Message)]
struct LaterRequest {
    #[prost(message, optional, tag = "1")]
    request: Option<ActionRequest>,
    #[prost(string, tag = "999")]
    only_on_weekdays: String,
}

#[tokio::test]
async fn a_field_that_this_version_does_not_know_is_refused_and_nothing_is_issued() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let ask = async |only_on_weekdays: &str| {
        let mut client = tonic::client::Grpc::new(daemon.channel("HOTWORK_ENDPOINT").await);
        client.ready().await.unwrap();
        let message = LaterRequest { request: Some(good()), only_on_weekdays: only_on_weekdays.into() };
        let path = http::uri::PathAndQuery::from_static("/hotwork.v1.CredentialService/IssueToken");
        let codec = tonic_prost::ProstCodec::<LaterRequest, IssueTokenResponse>::default();
        client.unary(tonic::Request::new(message), path, codec).await
    };
    assert_eq!(named(&ask("yes").await.expect_err("an unknown field was taken")), "999");
    assert!(daemon.json(&["credential", "list"])["credentials"].as_array().is_none_or(Vec::is_empty));
    assert!(ask("").await.is_ok(), "without it the same request is granted");
}

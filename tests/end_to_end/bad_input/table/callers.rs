//! The rows of what agents and verifiers may ask.

use serde_json::{Value, json};
use tonic::Code;

use super::{CREDENTIALS_PAGE, Rpc, THUMBPRINT, UNKNOWN_ID, bad_csrs, csr, der, paged, texts};

/// All of them.
pub fn rows() -> Vec<Rpc> {
    [credential(), verification()].concat()
}

/// Texts that are no UUIDv7 in its one form.
const NO_UUIDS: &[&str] =
    &["x", "0193595E-7C00-7000-8000-000000000000", "f47ac10b-58cc-4372-a567-0e02b2c3d479"];

fn with(mut request: Value, field: &str, value: Value) -> Value {
    request[field] = value;
    request
}

fn action(idempotency_key: &str) -> Value {
    json!({
        "action": "demo.transfer", "resource": "demo/x", "ttl": "60s", "args_sha256": der(&[7; 32]),
        "purpose": "nightly", "idempotency_key": idempotency_key,
        "parameters": [{ "name": "amount", "integer": 1 }], "justification": "the books must balance",
    })
}

const ACTION_OPTIONAL: &[&str] = &[
    "request.ttl",
    "request.args_sha256",
    "request.purpose",
    "request.idempotency_key",
    "request.parameters",
    "request.approval_id",
    "request.justification",
    "request.break_glass_session",
];

const TOKEN_OPTIONAL: &[&str] = &[
    "request.ttl",
    "request.args_sha256",
    "request.purpose",
    "request.idempotency_key",
    "request.parameters",
    "request.approval_id",
    "request.justification",
    "request.break_glass_session",
    "binding",
];

/// What is refused in the `request` of both kinds of credential.
fn action_request(rpc: Rpc) -> Rpc {
    let named = |name: &str| json!({ "name": name, "text": "x" });
    let text = |text: &str| json!([{ "name": "amount", "text": text }]);
    rpc.bad("request.action", texts(&["demo", "Demo.read", "demo.*", "demo.read ", "дemo.read"]))
        .bad("request.resource", texts(&["/a", "a/", "a//b", "demo/../x", "demo/%2e", "demo/hеllo", "a/*"]))
        .bad("request.resource", [json!("a".repeat(513))])
        .bad("request.ttl", texts(&["0s", "-5s", "901s", "1.000000001s"]))
        .bad("request.args_sha256", [der(&[1; 31]), der(&[1; 33])])
        .bad("request.purpose", texts(&["Because I said so", "a_b"]))
        .bad("request.break_glass_session", texts(&["x", "0193595E-7C00-7000-8000-000000000000"]))
        .bad("request.idempotency_key", [json!("a b"), json!("k".repeat(65))])
        .bad(
            "request.parameters",
            [json!([named("Note")]), json!([named("")]), json!([{ "name": "amount" }])],
        )
        .bad(
            "request.parameters",
            [json!([named("a"), named("a")]), text(""), text("é"), text(&"x".repeat(257))],
        )
        .text(&["request.parameters.text"])
        // Whatever an agent says is evidence; it is made harmless where it is shown.
        .any(&["request.justification"])
        .bad("request.justification", [json!("x".repeat(1025))])
        .bad("request.approval_id", texts(NO_UUIDS))
        .bad("request.parameters", [Value::from_iter((0..17).map(|n| named(&format!("p{n}"))))])
}

fn credential() -> Vec<Rpc> {
    let parameter = |value: Value| {
        let mut parameter = json!({ "name": "other" });
        parameter.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        json!({ "request": { "action": "demo.read", "resource": "demo/x", "parameters": [parameter] } })
    };
    let undeclared = |rpc: Rpc, key: Value| {
        [json!({ "text": "x" }), json!({ "flag": true })].into_iter().fold(rpc, |rpc, value| {
            let mut request = parameter(value);
            request.as_object_mut().unwrap().extend(key.as_object().unwrap().clone());
            rpc.also(request, Code::PermissionDenied)
        })
    };
    let id = |name, code| {
        Rpc::answered(name, json!({ "credential_id": UNKNOWN_ID }), code)
            .bad("credential_id", texts(NO_UUIDS))
    };
    // Nobody approved it.
    let approved =
        json!({ "request": { "action": "demo.read", "resource": "demo/x", "approval_id": UNKNOWN_ID } });
    let session = json!({ "action": "demo.read", "resource": "demo/x", "break_glass_session": UNKNOWN_ID });
    let token = Rpc::new(
        "CredentialService/IssueToken",
        json!({ "request": action("token"), "binding": { "jkt": THUMBPRINT } }),
    )
    .also(
        json!({ "request": { "action": "demo.read", "resource": "demo/x" },
        "binding": { "x5t_s256": THUMBPRINT } }),
        Code::Ok,
    )
    .also(approved.clone(), Code::PermissionDenied)
    .also(json!({ "request": session }), Code::PermissionDenied)
    .optional(TOKEN_OPTIONAL)
    .bad("binding.jkt", [json!("A".repeat(44)), json!("=".repeat(43))])
    .bad("binding", [json!({}), json!({ "jkt": THUMBPRINT, "x5t_s256": THUMBPRINT })]);
    let certificate = Rpc::new(
        "CredentialService/IssueCertificate",
        json!({ "request": action("certificate"), "csr_der": der(&csr()) }),
    )
    .also(
        json!({ "request": { "action": "demo.read", "resource": "demo/x" }, "generate_key": true }),
        Code::Ok,
    )
    .also(with(approved.clone(), "csr_der", der(&csr())), Code::PermissionDenied)
    // An approval is for one key, and this one is made anew.
    .together("request.approval_id", with(approved, "generate_key", json!(true)))
    .also(json!({ "request": session, "generate_key": true }), Code::PermissionDenied)
    .optional(ACTION_OPTIONAL)
    .bad("csr_der", bad_csrs())
    .bad("generate_key", [json!(false)])
    .together("request.idempotency_key", json!({ "request": action("again"), "generate_key": true }));
    let page = Rpc::new(
        "CredentialService/ListMyCredentials",
        json!({ "page_size": 1000, "page_token": CREDENTIALS_PAGE, "include_ended": true }),
    );
    vec![
        undeclared(action_request(token), json!({})),
        undeclared(action_request(certificate), json!({ "generate_key": true })),
        id("CredentialService/Release", Code::NotFound),
        id("CredentialService/GetMyCredential", Code::NotFound),
        paged(page).optional(&["page_size", "page_token"]),
        Rpc::answered(
            "CredentialService/WatchApproval",
            json!({ "approval_id": UNKNOWN_ID }),
            Code::NotFound,
        )
        .bad("approval_id", texts(NO_UUIDS)),
        Rpc::new("CredentialService/WhoAmI", json!({})),
        Rpc::new("CredentialService/ListActions", json!({})),
    ]
}

fn verification() -> Vec<Rpc> {
    let shown = |rpc: Rpc| {
        let (empty, large) = (String::new(), "x".repeat(64 * 1024 + 1));
        rpc.bad("token", [json!(empty), json!(large)])
            .bad("certificate_der", [json!(empty), der(large.as_bytes())])
            .any(&["token", "certificate_der"])
    };
    let label = |rpc: Rpc| rpc.bad("label", [json!("a/b"), json!(".."), json!("x".repeat(64))]);
    let consume = |what: &str, value: Value| json!({ what: value, "idempotency_key": "call-1" });
    vec![
        shown(Rpc::new("VerificationService/Introspect", json!({ "token": "a.b.c" })))
            .also(json!({ "certificate_der": der(&[0x30; 500]) }), Code::Ok),
        shown(Rpc::answered(
            "VerificationService/Consume",
            consume("token", json!("a.b.c")),
            Code::PermissionDenied,
        ))
        .also(consume("certificate_der", der(&[0x30; 500])), Code::PermissionDenied)
        .bad("idempotency_key", [json!("a b"), json!("k".repeat(65))]),
        label(Rpc::new(
            "VerificationService/WatchRevocations",
            json!({ "label": "one", "after_epoch": 7, "after_sha256": der(&[7; 32]), "instance": 7 }),
        ))
        // Who is ahead of the broker gets a snapshot; an instance is whatever was drawn.
        .any(&["after_epoch", "instance"])
        .bad("instance", [json!(0)])
        .bad("after_sha256", [der(&[7; 31]), der(&[7; 33])])
        .optional(&["label", "after_epoch", "after_sha256"]),
        label(Rpc::answered(
            "VerificationService/AcknowledgeEpoch",
            json!({ "label": "nobody", "epoch": 0, "subscription": 7 }),
            Code::FailedPrecondition,
        ))
        // Before its size there is whether anybody of that label follows.
        .any(&["epoch", "subscription"])
        .bad("subscription", [json!(0)])
        .optional(&["label", "epoch"]),
        Rpc::new("VerificationService/GetTrustBundle", json!({})),
    ]
}

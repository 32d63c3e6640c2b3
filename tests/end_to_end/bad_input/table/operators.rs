//! The rows of what operators may do.

use serde_json::{Value, json};
use tonic::Code;

use super::{CREDENTIALS_PAGE, Rpc, TEXT_PAGE, UNKNOWN_ID, bad_csrs, csr, der, paged, texts};

/// All of them.
pub fn rows() -> Vec<Rpc> {
    [inventory(), approvals(), control(), enrollment(), audit(), break_glass()].concat()
}

fn inventory() -> Vec<Rpc> {
    let credentials = json!({
        "page_size": 1000, "page_token": CREDENTIALS_PAGE, "include_ended": true,
        "agent": "spiffe://example.org/tenant/default/agent/me",
    });
    vec![
        paged(Rpc::new("AdminService/ListAgents", json!({ "page_size": 1000, "page_token": TEXT_PAGE })))
            .optional(&["page_size", "page_token"]),
        Rpc::new("AdminService/GetAgent", json!({ "id": "me" }))
            .also(json!({ "id": "nobody" }), Code::NotFound)
            .also(json!({ "id": "spiffe://example.org/tenant/default/agent/nobody" }), Code::NotFound)
            .bad("id", texts(&["a b", "..", "spiffe://example.org", "https://example.org/tenant/t/agent/a"])),
        paged(Rpc::new("AdminService/ListCredentials", credentials))
            .optional(&["page_size", "page_token", "agent"])
            .bad("agent", texts(&["me", "spiffe://example.org/tenant/default/agent/*"])),
        Rpc::answered("AdminService/GetCredential", json!({ "credential_id": UNKNOWN_ID }), Code::NotFound)
            .bad("credential_id", texts(&["x", "0193595E-7C00-7000-8000-000000000000"])),
        Rpc::answered("AdminService/Explain", json!({ "decision_id": UNKNOWN_ID }), Code::NotFound)
            .bad("decision_id", texts(&["x", "0193595E-7C00-7000-8000-000000000000"])),
        Rpc::new("AdminService/ListApis", json!({})),
        Rpc::new("AdminService/ListLocks", json!({})),
        Rpc::new("AdminService/ListVerifiers", json!({})),
        Rpc::new("AdminService/ListKeys", json!({})),
        Rpc::new("AdminService/GetStatus", json!({})),
    ]
}

/// Nothing waits for anybody in these tests.
fn approvals() -> Vec<Rpc> {
    let id = |rpc: Rpc| rpc.bad("approval_id", texts(&["x", "0193595E-7C00-7000-8000-000000000000"]));
    let reason = |rpc: Rpc| rpc.bad("reason", texts(&["two\nlines", " space"])).text(&["reason"]);
    let list = json!({ "page_size": 1000, "page_token": TEXT_PAGE, "include_decided": true });
    let show = json!({ "approval_id": UNKNOWN_ID, "verdict": "APPROVAL_VERDICT_DENY", "reason": "no" });
    let mut decide = show.clone();
    decide["statement"] = json!("hotwork approval v1\n");
    decide["signature"] = json!("-----BEGIN SSH SIGNATURE-----");
    let long = |length: usize| [json!("x".repeat(length))];
    vec![
        paged(Rpc::new("AdminService/ListApprovals", list)).optional(&["page_size", "page_token"]),
        id(reason(Rpc::answered("AdminService/GetApproval", show, Code::NotFound)))
            // A verdict is asked for with a reason only.
            .together("verdict", json!({ "approval_id": UNKNOWN_ID, "reason": "no" }))
            .optional(&["reason"]),
        id(reason(Rpc::answered("AdminService/DecideApproval", decide, Code::NotFound)))
            .bad("statement", long(16 * 1024 + 1))
            .bad("signature", long(4 * 1024 + 1))
            .any(&["statement", "signature"])
            .optional(&["reason"]),
    ]
}

/// One of each kind of selector that names what can come again, and none that the tests need.
fn broad_selectors() -> Vec<Value> {
    vec![
        json!({ "agent": "spiffe://example.org/tenant/none/agent/none" }),
        json!({ "lineage": UNKNOWN_ID }),
        json!({ "owner": "Nobody" }),
        json!({ "principal": "user:none" }),
        json!({ "tenant": "none" }),
        json!({ "api": "none" }),
        json!({ "action": "none.none" }),
        json!({ "resource_prefix": "none/none" }),
        json!({ "attested": { "kind": "unix.uid", "value": "4000000000" } }),
        json!({ "key_id": "none" }),
    ]
}

/// What is refused in the selectors of revocations and locks alike.
fn selected(rpc: Rpc) -> Rpc {
    rpc.bad("selector", [json!({})])
        .text(&["selector.owner", "selector.principal", "selector.attested.value"])
        .bad("selector.agent", texts(&["me", "spiffe://example.org/tenant/default/agent/*"]))
        .bad("selector.all", [json!(false)])
        .bad("selector.tenant", texts(&["A"]))
        .bad("selector.api", texts(&["a.b"]))
        .bad("selector.action", texts(&["demo"]))
        .bad("selector.resource_prefix", texts(&["repo/", "repo/*", "../x"]))
        .bad("selector.attested.kind", texts(&["unix.gid", "unix"]))
        .bad("selector.key_id", texts(&["a b"]))
}

fn control() -> Vec<Rpc> {
    let revoke = json!({
        "selector": { "all": true }, "reason": "leaked", "dry_run": true, "wait": "1s",
        "lock": { "ttl": "1s", "message": "wait" },
    });
    let before =
        json!({ "selector": { "all": true }, "reason": "r", "issued_before": "2026-01-01T00:00:00Z" });
    let revoke = Rpc::new("AdminService/Revoke", revoke).also(before, Code::Ok);
    let (one, serial) = (json!({ "credential_id": UNKNOWN_ID }), format!("4{}", "0".repeat(31)));
    let revoke = revoke
        .also(json!({ "selector": one, "reason": "leaked" }), Code::NotFound)
        // It may be of a certificate that the index no longer has.
        .also(json!({ "selector": { "serial": serial }, "reason": "leaked" }), Code::Ok);
    let revoke = broad_selectors().into_iter().fold(revoke, |revoke, selector| {
        revoke.also(json!({ "selector": selector, "reason": "leaked" }), Code::Ok)
    });
    let lock = Rpc::new(
        "AdminService/Lock",
        json!({ "selector": { "tenant": "none" }, "terms": { "ttl": "1s", "message": "wait" } }),
    )
    .also(json!({ "selector": { "all": true }, "terms": { "ttl": "1s", "message": "wait" } }), Code::Ok);
    let lock = broad_selectors().into_iter().fold(lock, |lock, selector| {
        lock.also(json!({ "selector": selector, "terms": { "ttl": "1s", "message": "wait" } }), Code::Ok)
    });
    vec![
        selected(revoke)
            .optional(&["wait", "lock", "lock.ttl", "lock.message", "issued_before"])
            .bad("reason", [json!("two\nlines"), json!("x".repeat(201))])
            .bad("wait", texts(&["8.000000001s", "-1s"]))
            .bad("lock.ttl", texts(&["0s", "1.5s", "604801s"]))
            .bad("lock.message", [json!("two\nlines"), json!("x".repeat(201))])
            .bad("selector.credential_id", texts(&["x"]))
            .bad("selector.serial", [json!("00".repeat(16)), json!("4f")])
            .together(
                "issued_before",
                json!({ "selector": one, "reason": "r", "issued_before": "2026-01-01T00:00:00Z" }),
            )
            .together("lock", json!({ "selector": one, "reason": "r", "lock": {} })),
        selected(lock)
            .never(&["selector.credential_id", "selector.serial"])
            .optional(&["terms.ttl"])
            .bad("terms", [json!({})])
            .bad("terms.ttl", texts(&["0s", "1.5s", "604801s"]))
            .bad("terms.message", [json!("two\nlines"), json!("x".repeat(201))])
            .together("selector", json!({ "selector": one, "terms": { "message": "wait" } })),
        // Any number can be the id of a lock.
        Rpc::answered("AdminService/Unlock", json!({ "lock_id": "7" }), Code::NotFound)
            .any(&["lock_id"])
            .optional(&["lock_id"]),
        // There is no notifier in these tests.
        Rpc::answered("AdminService/TestNotifier", json!({ "name": "oncall" }), Code::NotFound)
            .optional(&["name"])
            .bad("name", texts(&["a b", "../x"])),
        Rpc::new("AdminService/ReloadRegistry", json!({})),
        Rpc::new("AdminService/RotateKey", json!({ "use": "token", "at_once": true }))
            .bad("use", texts(&["log", "action-ca", "Token", "token "])),
    ]
}

fn enrollment() -> Vec<Rpc> {
    let enroll = json!({
        "enrolled_as": "ENROLLED_AS_VERIFIER", "name": "envoy", "csr_der": der(&csr()), "lifetime_seconds": 3600,
    });
    let serial = format!("4{}", "0".repeat(31));
    let remove = json!({ "enrolled_as": "ENROLLED_AS_VERIFIER", "name": "nobody", "serial": serial, "reason": "gone" });
    let mut operator = enroll.clone();
    operator["enrolled_as"] = json!("ENROLLED_AS_OPERATOR");
    vec![
        Rpc::new("AdminService/Enroll", enroll)
            .also(operator, Code::NotFound)
            .optional(&["lifetime_seconds"])
            .bad("name", texts(&["a/b", ".."]))
            .bad("csr_der", bad_csrs())
            .bad("lifetime_seconds", [json!(59), json!(31_622_401)]),
        paged(Rpc::new(
            "AdminService/ListEnrollments",
            json!({ "page_size": 1000, "page_token": TEXT_PAGE, "enrolled_as": "ENROLLED_AS_VERIFIER" }),
        ))
        .optional(&["page_size", "page_token", "enrolled_as"]),
        Rpc::answered("AdminService/RemoveEnrollment", remove, Code::NotFound)
            .optional(&["serial"])
            .bad("name", texts(&["a/b", ".."]))
            .bad("serial", [json!("4f"), json!("4F".repeat(16))])
            .bad("reason", [json!("two\nlines"), json!("x".repeat(201))]),
    ]
}

fn audit() -> Vec<Rpc> {
    vec![
        Rpc::new("AuditService/GetCheckpoint", json!({})),
        Rpc::new("AuditService/GetEntry", json!({ "index": 0 })).optional(&["index"]),
        Rpc::new("AuditService/ListEntries", json!({ "first_index": 0, "page_size": 1000 }))
            // Beyond the end there is nothing yet: whoever follows the log asks again.
            .any(&["first_index"])
            .optional(&["first_index", "page_size"])
            .bad("page_size", [json!(1001)]),
        Rpc::new("AuditService/ProveInclusion", json!({ "index": 0 })).optional(&["index"]),
        Rpc::new("AuditService/ProveConsistency", json!({ "old_size": 1 })),
    ]
}

/// A signed text of another broker.
fn signed(asks: &str, rest: &str, scope: &str) -> Value {
    let text = format!(
        "hotwork break-glass v1\ntrust-domain: other.example\nnonce: {}\nnot-before: 2026-01-01T00:00:00Z\n\
         not-after: 2026-01-01T00:15:00Z\nlog: other\nasks: {asks}\nplaybook: repair\nticket: INC-1\nreason: down\n\
         {rest}signers: 2\n{scope}",
        "ab".repeat(16)
    );
    let signature = "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n";
    json!({ "signed": { "statement": text, "signature": signature } })
}

fn break_glass() -> Vec<Rpc> {
    let opening = json!({
        "opening": { "playbook": "repair", "reason": "down", "ticket": "INC-1", "duration": "60s", "drill": true },
    });
    let extension = json!({ "extension": { "session": UNKNOWN_ID, "reason": "more", "duration": "60s" } });
    let texts_of = |rpc: Rpc| {
        rpc.bad("signed.statement", texts(&["hotwork approval v1\na: b\n", "hotwork break-glass v1\n"]))
            .bad("signed.signature", texts(&["-----BEGIN SSH SIGNATURE-----\n"]))
    };
    let (other, scope) = (Code::FailedPrecondition, "locks: action demo.write\n");
    let extend = signed("extend", &format!("session: {UNKNOWN_ID}\nnew-end: 2026-01-01T01:00:00Z\n"), "");
    vec![
        Rpc::new("BreakGlassService/Prepare", opening)
            .also(extension, Code::NotFound)
            .optional(&["opening.duration", "extension.duration"])
            .bad("opening.playbook", texts(&["Repair", "a/b"]))
            .bad("opening.ticket", [json!("INC 1"), json!("x".repeat(129))])
            .bad("opening.reason", [json!("two\nlines"), json!("x".repeat(201)), json!(" x")])
            .bad("opening.duration", texts(&["0s", "1.5s", "14401s"]))
            .bad("extension.session", texts(&["x"]))
            .bad("extension.reason", [json!("two\nlines"), json!("x ")])
            .bad("extension.duration", texts(&["0s", "1.5s", "14401s"])),
        texts_of(Rpc::answered("BreakGlassService/Open", signed("open", "seconds: 60\n", scope), other)),
        texts_of(Rpc::answered("BreakGlassService/Drill", signed("drill", "seconds: 60\n", scope), other)),
        texts_of(Rpc::answered("BreakGlassService/Extend", extend, Code::NotFound)),
        Rpc::answered(
            "BreakGlassService/Close",
            json!({ "session": UNKNOWN_ID, "reason": "done" }),
            Code::NotFound,
        )
        .bad("session", texts(&["x"]))
        .bad("reason", [json!("two\nlines"), json!("x".repeat(201))]),
        Rpc::answered(
            "BreakGlassService/Review",
            json!({ "session": UNKNOWN_ID, "finding": "fine" }),
            Code::NotFound,
        )
        .bad("session", texts(&["x"]))
        .bad("finding", [json!("two\nlines"), json!("x".repeat(201))]),
        Rpc::new("BreakGlassService/List", json!({})),
    ]
}

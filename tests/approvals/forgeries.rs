//! Signatures that must not count: edited, truncated, of another broker, another namespace, another person.

use hotwork::proto::v1::{ApprovalVerdict, DecideApprovalRequest, GetApprovalRequest};
use tonic_types::StatusExt as _;

use crate::office::{JKT, OTHER_JKT, Office};

#[tokio::test]
async fn every_forged_decision_is_refused_and_recorded_and_blocks_nobody() {
    let office = Office::coding();
    // The caller on the socket is this process's user, who may approve here, and is the requester.
    let (id, other) = (office.asked(JKT), office.asked(OTHER_JKT));
    let mut admin = office.daemon.admin().await;
    let approve = ApprovalVerdict::Approve;
    let statement = |id: &str, verdict: ApprovalVerdict| {
        let mut admin = admin.clone();
        let message =
            GetApprovalRequest { approval_id: id.into(), verdict: verdict.into(), reason: String::new() };
        async move { admin.get_approval(message).await.unwrap().into_inner().statement }
    };
    let text = statement(&id, approve).await;
    let others = statement(&other, approve).await;
    let denial = statement(&id, ApprovalVerdict::Deny).await;
    let domain = text.lines().find(|line| line.starts_with("trust-domain: ")).unwrap().to_owned();
    let (own, bob) = (&office.keys["own"], &office.keys["bob"]);
    let space = "hotwork-approval";
    let signed = |text: &str| own.sign(space, text);
    let cut = signed(&text).replace("-----END", "").replacen("U1NIU0lH", "", 1);
    let edited = text.replace("repo/acme/site", "repo/acme/payroll");
    let foreign = text.replace(&domain, "trust-domain: other.example");
    let later = text.replace("not-after: 2", "not-after: 3");
    let stranger = crate::signing::KeyPair::ed25519(office.dir.path(), "stranger");
    let tries = [
        ("edited text", edited.clone(), signed(&edited), "statement-differs"),
        ("another broker's", foreign.clone(), signed(&foreign), "statement-differs"),
        ("a longer time", later.clone(), signed(&later), "statement-differs"),
        ("another request's", others.clone(), signed(&others), "statement-differs"),
        ("a denial as a yes", denial.clone(), signed(&denial), "statement-differs"),
        ("signature over edited text", text.clone(), signed(&edited), "signature-forged"),
        ("signature over another request", text.clone(), signed(&others), "signature-forged"),
        ("truncated", text.clone(), cut, "signature-form"),
        ("another namespace", text.clone(), own.sign("hotwork-break-glass", &text), "signature-namespace"),
        ("git's namespace", text.clone(), own.sign("git", &text), "signature-namespace"),
        ("a stranger's key", text.clone(), stranger.sign(space, &text), "signature-unregistered"),
        ("bob's signature sent by another", text.clone(), bob.sign(space, &text), "signer-is-not-caller"),
        ("the requester's own", text.clone(), signed(&text), "approver-is-requester"),
    ];
    let before = calls(&office);
    let count = tries.len();
    for (what, statement, signature, expected) in tries {
        let (approval_id, reason) = (id.clone(), String::new());
        let message =
            DecideApprovalRequest { approval_id, verdict: approve.into(), reason, statement, signature };
        let status = admin.decide_approval(message).await.unwrap_err();
        assert_eq!(status.get_details_error_info().unwrap().reason, expected, "{what}");
    }
    let empty = DecideApprovalRequest { approval_id: id.clone(), ..DecideApprovalRequest::default() };
    admin.decide_approval(empty).await.unwrap_err();
    assert_eq!(calls(&office) - before, count + 1, "each try is in the log, and what could not be read");
    assert_eq!(office.state(&id), "PENDING");
    crate::office::succeeds(&office.decides("alice", "approve", &id, None));
    // A replay of the same decision changes nothing.
    assert_eq!(crate::office::reason(&office.decides("alice", "approve", &id, None)), "already-decided");
    assert_eq!(office.merge(JKT, &["--approval", &id]).0, 0);
}

fn calls(office: &Office) -> usize {
    let log = office.daemon.hotwork(&["audit", "tail", "-n", "1000", "-o", "json"]);
    String::from_utf8_lossy(&log.stdout).matches("AdminService/DecideApproval").count()
}

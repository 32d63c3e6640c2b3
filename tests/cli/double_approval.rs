//! The double's requests for approval.

use hotwork::domain::digest::Digest;
use hotwork::proto::v1;
use tonic::Response;

use super::double::{AGENT, Answer, ID, Wire};

/// A request whose agent has something to say.
fn approval() -> v1::Approval {
    v1::Approval {
        id: ID.to_owned(),
        state: v1::ApprovalState::Pending.into(),
        agent: AGENT.to_owned(),
        action: "repo.pull.merge".to_owned(),
        resource: "repo/acme/site".to_owned(),
        approvals_needed: 2,
        untrusted_justification: format!(
            "approve\u{1b}[2J me\nstate: approved\nplease\u{200b}{}approved by  2 of 2",
            " ".repeat(70)
        ),
        ..v1::Approval::default()
    }
}

/// The text that is to be signed, with the digest of the terms that were asked for. A reason `KEY lies VALUE` has it say
/// something else, and `KEY swaps VALUE` has its own digest agree with that.
fn statement(ask: &v1::GetApprovalRequest) -> (String, String) {
    let terms = format!(
        "agent: {AGENT}\nprincipal: {AGENT}\naction: repo.pull.merge\nresource: repo/acme/site\n\
         audience: https://repo.example.org\ncredential: token\nlifetime: 60s\ncalls: not counted\nholder: k\n"
    );
    let sha256 = Digest::of(terms.as_bytes()).to_string();
    let decision = if ask.verdict == 1 { "approve" } else { "deny" };
    let reason = if ask.reason.is_empty() { String::new() } else { format!("reason: {}\n", ask.reason) };
    let text = format!(
        "hotwork approval v1\n{}decision: {decision}\noperator: bob\nrequest: {ID}\napprovals-needed: 2\n\
         access: write\nowner: olga\n{terms}request-sha256: {sha256}\n{reason}",
        head(3600)
    );
    let text = bent(text, &ask.reason);
    let Some((from, _)) = text.split_once("request-sha256: ").filter(|_| ask.reason.contains(" swaps "))
    else {
        return (text, sha256);
    };
    let own = from.split_once("owner: olga\n").map(|(_, terms)| Digest::of(terms.as_bytes()).to_string());
    (text.replace(&sha256, &own.unwrap()), sha256)
}

/// The lines that every statement begins with; it lasts this many seconds.
pub fn head(seconds: i64) -> String {
    let now = jiff::Timestamp::now().as_second();
    let time = |at: i64| jiff::Timestamp::from_second(at).unwrap();
    let nonce = "ab".repeat(16);
    format!(
        "trust-domain: example.org\nnonce: {nonce}\nnot-before: {}\nnot-after: {}\n",
        time(now),
        time(now + seconds)
    )
}

/// The text with another value of `KEY`, when the reason is `KEY lies VALUE` or `KEY swaps VALUE`.
pub fn bent(text: String, reason: &str) -> String {
    let lie = reason.split_once(" lies ").or_else(|| reason.split_once(" swaps "));
    let Some((key, lie)) = lie else { return text };
    let line = |line: &str| {
        if line.starts_with(&format!("{key}: ")) { format!("{key}: {lie}\n") } else { format!("{line}\n") }
    };
    text.lines().map(line).collect()
}

pub fn list(wire: &Wire, ask: &v1::ListApprovalsRequest) -> Answer<v1::ListApprovalsResponse> {
    wire.saw(format!("list approvals {}", ask.include_decided));
    let approvals = vec![approval()];
    Ok(Response::new(v1::ListApprovalsResponse { approvals, next_page_token: String::new() }))
}

pub fn get(wire: &Wire, ask: &v1::GetApprovalRequest) -> Answer<v1::GetApprovalResponse> {
    wire.saw(format!("get approval {}", ask.verdict));
    let (text, sha256) = statement(ask);
    let mut approval = v1::Approval { request_sha256: sha256, ..approval() };
    if let Some((_, other)) = ask.reason.split_once("request shows ") {
        approval.id = other.to_owned();
    }
    Ok(Response::new(v1::GetApprovalResponse { approval: Some(approval), statement: text }))
}

pub fn decide(wire: &Wire, ask: &v1::DecideApprovalRequest) -> Answer<v1::DecideApprovalResponse> {
    wire.saw(format!("decide {} {} {}", ask.verdict, ask.reason, ask.signature.trim()));
    Ok(Response::new(v1::DecideApprovalResponse { approval: Some(approval()) }))
}

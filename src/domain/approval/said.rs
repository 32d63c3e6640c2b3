//! What the text of a decision says: for whoever signs it, who did not write it.

use super::Verdict;
use crate::domain::catalogue::Access;
use crate::domain::digest::Digest;
use crate::domain::id::ApprovalId;
use crate::domain::name::{ActionName, AgentId, OperatorName, Reason};
use crate::domain::resource::Resource;
use crate::domain::statement::{Namespace, Statement, Window};

/// The lines before the terms.
const BEFORE: [&str; 10] = [
    "trust-domain",
    "nonce",
    "not-before",
    "not-after",
    "decision",
    "operator",
    "request",
    "approvals-needed",
    "access",
    "owner",
];
/// The terms that every request has; parameters and what it may have stand between them.
const TERMS: [&str; 9] =
    ["agent", "principal", "action", "resource", "audience", "credential", "lifetime", "calls", "holder"];

/// What a text says. The digest is that of the terms that stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What the request can do to the resource.
    pub access: Access,
    /// The one action.
    pub action: ActionName,
    /// Who asks.
    pub agent: AgentId,
    /// Whose decision it is.
    pub operator: OperatorName,
    /// Why, if it says.
    pub reason: Option<Reason>,
    /// SHA-256 of the terms.
    pub request: Digest,
    /// Which request.
    pub id: ApprovalId,
    /// The one resource.
    pub resource: Resource,
    /// What is decided.
    pub verdict: Verdict,
    /// When it can be decided.
    pub window: Window,
}

/// Reads a text. `None` when it is none of a decision: lines that no broker writes, or terms of another digest.
pub fn read(text: &Statement) -> Option<Said> {
    let lines: Vec<(&str, &str)> = text.lines().collect();
    let end = lines.iter().position(|(key, _)| *key == "request-sha256")?;
    let (before, terms) = (lines.get(..BEFORE.len())?, lines.get(BEFORE.len()..end)?);
    let written: String = terms.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    let request = Digest::of(written.as_bytes());
    let good = text.namespace() == Namespace::Approval
        && before.iter().map(|(key, _)| *key).eq(BEFORE)
        && terms.iter().map(|(key, _)| *key).filter(|key| !is_optional(key)).eq(TERMS)
        && matches!(lines.get(end + 1..)?, [] | [("reason", _)])
        && text.value("request-sha256")? == request.to_string();
    let value = |key: &str| text.value(key);
    let access = match value("access")? {
        "destructive" => Access::Destructive,
        "read" => Access::Read,
        "write" => Access::Write,
        _ => return None,
    };
    let verdict = match value("decision")? {
        "approve" => Verdict::Approve,
        "deny" => Verdict::Deny,
        _ => return None,
    };
    let reason = match value("reason") {
        Some(reason) => Some(reason.parse().ok()?),
        None => None,
    };
    let said = Said {
        access,
        action: value("action")?.parse().ok()?,
        agent: value("agent")?.parse().ok()?,
        operator: value("operator")?.parse().ok()?,
        reason,
        request,
        id: value("request")?.parse().ok()?,
        resource: value("resource")?.parse().ok()?,
        verdict,
        window: text.window()?,
    };
    good.then_some(said)
}

fn is_optional(key: &str) -> bool {
    key.starts_with("parameter.") || key == "args-sha256" || key == "purpose"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixture::asked;

    #[test]
    fn a_text_is_read_as_it_was_written_and_with_nothing_more() {
        let asked = asked("a", 1, 2);
        let (td, operator) = ("td".parse().unwrap(), "bob".parse().unwrap());
        for (verdict, reason) in
            [(Verdict::Approve, None), (Verdict::Deny, Some("not today".parse().unwrap()))]
        {
            let text = asked.statement(&td, verdict, &operator, reason.as_ref()).unwrap();
            let said = read(&text).unwrap();
            assert_eq!((said.id, said.verdict, &said.reason), (asked.id, verdict, &reason));
            assert_eq!((&said.action, &said.resource), (&asked.terms.action, &asked.terms.resource));
            assert_eq!(
                (said.request, said.access, said.window.until),
                (asked.request, asked.access, asked.expires)
            );
            assert_eq!((&said.agent, &said.operator), (&asked.terms.agent, &operator));
            let action = format!("action: {}\n", asked.terms.action);
            for (from, to) in [
                (action.as_str(), "action: pay.invoice.pay\n"),
                ("hotwork approval v1\n", "hotwork break-glass v1\n"),
                ("owner: ", "owned: "),
                ("calls: ", "more: x\ncalls: "),
                ("request-sha256: ", "more: x\nrequest-sha256: "),
                ("decision: ", "more: x\ndecision: "),
                ("decision: ", "decision: not-"),
            ] {
                let changed = text.as_str().replacen(from, to, 1);
                assert_ne!(changed, text.as_str(), "{from}");
                assert_eq!(changed.parse::<Statement>().ok().as_ref().and_then(read), None, "{changed}");
            }
            let more = format!("{}more: x\n", text.as_str());
            assert_eq!(read(&more.parse().unwrap()), None);
        }
    }
}

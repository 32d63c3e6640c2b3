//! What operators ask for: agents, filters, log ranges.

use crate::domain::limits::SPIFFE_ID_BYTES_MAX;
use crate::domain::name::{AgentId, AgentName, AgentPath, NotifierName, TrustDomain};
use crate::proto::v1;

use super::{BadField, optional, parsed};

/// Looks at which key is to be rotated.
///
/// # Errors
/// When it is not the token key: authorities and the log's key are not rotated by the daemon.
pub fn rotated_use(text: &str) -> Result<(), BadField> {
    if text == "token" {
        Ok(())
    } else {
        Err(BadField::new("use", "`token`, the one key that is rotated so"))
    }
}

/// How an operator names an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentRef {
    /// By its SPIFFE ID.
    Id(AgentId),
    /// By its name alone.
    Name(AgentName),
    /// By a template's text, as the list of agents shows it.
    Template(String),
}

/// Parses the id of `GetAgent`: a SPIFFE ID, `TENANT/NAME`, a name, or a template as the list
/// shows it.
///
/// # Errors
/// When it is none of them.
pub fn agent(message: &v1::GetAgentRequest, trust_domain: &TrustDomain) -> Result<AgentRef, BadField> {
    let text = message.id.as_str();
    if text.starts_with("spiffe://") && text.contains('{') && text.len() <= SPIFFE_ID_BYTES_MAX {
        return Ok(AgentRef::Template(text.to_owned()));
    }
    if text.starts_with("spiffe://") {
        return parsed("id", text).map(AgentRef::Id);
    }
    if text.contains('/') {
        let path: AgentPath = parsed("id", text)?;
        return Ok(AgentRef::Id(path.in_domain(trust_domain)));
    }
    parsed("id", text).map(AgentRef::Name)
}

/// Parses the agent filter of `ListCredentials`.
///
/// # Errors
/// When it is not a SPIFFE ID.
pub fn agent_filter(text: &str) -> Result<Option<AgentId>, BadField> {
    optional("agent", text)
}

/// Parses which notifier is to be tried; all when it is empty.
///
/// # Errors
/// When it is no name.
pub fn notifier(message: &v1::TestNotifierRequest) -> Result<Option<NotifierName>, BadField> {
    optional("name", &message.name)
}

/// Parses the old size of `ProveConsistency`.
///
/// # Errors
/// When it is 0 or more than the log's `size`.
pub fn old_size(given: u64, size: u64) -> Result<u64, BadField> {
    let fits = (1..=size).contains(&given);
    let expected = || format!("1 to the log's size, `{size}`");
    if fits { Ok(given) } else { Err(BadField::new("old_size", expected())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn an_agent_is_named_by_id_name_or_template() {
        let agent = |id: &str| super::agent(&v1::GetAgentRequest { id: id.into() }, &"td".parse().unwrap());
        assert!(matches!(agent("spiffe://td/tenant/t/agent/a"), Ok(AgentRef::Id(_))));
        assert!(matches!(agent("spiffe://td/tenant/t/agent/a-{unix.uid}"), Ok(AgentRef::Template(_))));
        assert!(matches!(agent("a"), Ok(AgentRef::Name(_))));
        assert_eq!(agent("t/a"), agent("spiffe://td/tenant/t/agent/a"));
        let long = "a".repeat(100_000);
        let long_template = format!("spiffe://{{{long}");
        for bad in [
            "",
            "a b",
            "..",
            "spiffe://td",
            "/a",
            "t/",
            "t/a/b",
            "https://td/tenant/t/agent/a",
            &long,
            &long_template,
        ] {
            assert_eq!(agent(bad).unwrap_err().field, "id");
        }
    }

    #[test]
    fn an_old_size_lies_within_the_log() {
        assert_eq!(old_size(1, 5), Ok(1));
        assert_eq!(old_size(5, 5), Ok(5));
        for bad in [0, 6, u64::MAX] {
            assert_eq!(old_size(bad, 5).unwrap_err().field, "old_size");
        }
        assert!(old_size(0, 0).is_err());
    }

    #[test]
    fn an_agent_filter_is_a_spiffe_id_or_nothing() {
        assert_eq!(agent_filter(""), Ok(None));
        assert!(agent_filter("spiffe://td/tenant/t/agent/a").is_ok());
        assert_eq!(agent_filter("a").unwrap_err().field, "agent");
    }
}

//! Common names of certificates: PostgreSQL, nginx and Kubernetes read them, and refuse a certificate without.

use std::str::FromStr;
use std::sync::Arc;

use crate::domain::credential::Issuance;
use crate::domain::digest::Digest;
use crate::domain::limits::COMMON_NAME_CHARS_MAX;

/// A template of common names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameForm(Arc<str>);

/// The text is no template of common names.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "expected printable ASCII with `{{id}}`, or with `{{tenant}}` and `{{agent}}`, and `{{action}}` if wanted"
)]
pub struct BadNameForm;

impl NameForm {
    /// The common name for a record; `sha256:` and 56 hex digits of its digest when it would be too long.
    pub fn fill(&self, record: &Issuance) -> String {
        // No value can hold a brace, so one replacement can't make another.
        let name = self.0.replace("{tenant}", record.agent.tenant().as_str());
        let name = name.replace("{agent}", record.agent.name().as_str());
        let name = name.replace("{action}", record.action.as_str());
        let name = name.replace("{id}", &record.id.to_string());
        if name.len() <= COMMON_NAME_CHARS_MAX {
            return name;
        }
        let digest = Digest::of(name.as_bytes()).to_string();
        format!("sha256:{}", digest.get(..56).unwrap_or(&digest))
    }
}

impl Default for NameForm {
    /// No part can hold a colon, so two agents never share a name.
    fn default() -> Self {
        Self("{tenant}:{agent}:{action}".into())
    }
}

impl FromStr for NameForm {
    type Err = BadNameForm;

    fn from_str(text: &str) -> Result<Self, BadNameForm> {
        let unique = text.contains("{id}") || (text.contains("{tenant}") && text.contains("{agent}"));
        let known = ["{tenant}", "{agent}", "{action}", "{id}"];
        let fixed = known.iter().fold(text.to_owned(), |rest, word| rest.replace(word, ""));
        let plain = fixed.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let sized = text.len() <= 2 * COMMON_NAME_CHARS_MAX;
        let good = unique && plain && sized && !fixed.contains(['{', '}']);
        if good { Ok(Self(text.into())) } else { Err(BadNameForm) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::Kind;
    use crate::signer::fixture::record;

    #[test]
    fn a_name_that_is_too_long_becomes_a_digest() {
        let mut record = record(Kind::Certificate);
        let form = NameForm::default();
        record.action = format!("pay.{}", "x".repeat(64 - "acme:buyer:pay.".len())).parse().unwrap();
        assert_eq!(form.fill(&record).len(), 64);
        record.action = format!("{}x", record.action).parse().unwrap();
        let name = form.fill(&record);
        assert!(name.starts_with("sha256:") && name.len() == 63, "{name}");
    }

    #[test]
    fn a_template_that_two_agents_could_share_is_refused() {
        for good in ["{id}", "{tenant} {agent}", "cn={tenant}/{agent}/{action}"] {
            assert!(good.parse::<NameForm>().is_ok(), "{good}");
        }
        for bad in ["", "x", "{agent}", "{tenant}", "{id}{", "{id}{x}", "{id}\n", "{id}é"] {
            assert_eq!(bad.parse::<NameForm>(), Err(BadNameForm), "{bad}");
        }
    }
}

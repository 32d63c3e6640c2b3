//! Agents: registered workload identities, and the rules by which evidence becomes one of them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::evidence::{Evidence, Selector, SelectorKind};
use super::name::{AgentId, AgentName, BadName, GroupName, HostName, TenantName, TrustDomain};

/// One entry of the registry: an agent, or a template that makes agents from selectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentEntry {
    /// The tenant.
    pub tenant: TenantName,
    /// The name, or the template of names.
    pub name: NameTemplate,
    /// Who answers for it.
    pub owner: Arc<str>,
    /// What it is for.
    pub purpose: Arc<str>,
    /// The accountable party it acts for (`sub`), when that is not the agent itself.
    pub principal: Option<Arc<str>>,
    /// Groups that policies name.
    pub groups: Vec<GroupName>,
    /// What the evidence must show: every rule, one value of each.
    pub rules: Vec<Rule>,
    /// The day the entry must be reviewed.
    pub review: Day,
    /// Whether it may ask at all.
    pub state: AgentState,
    /// The certificate of its own identity that it may have, if it may have one.
    pub identity: Option<IdentityCertificate>,
}

/// What the certificate of an agent's identity says beside its SPIFFE ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityCertificate {
    /// What TLS clients know it by; empty for what is no server.
    pub names: Vec<HostName>,
}

/// Whether an agent may ask at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// It may.
    #[default]
    Active,
    /// It may not, until its owner says so.
    Suspended,
}

/// A calendar day, UTC, as days since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

/// One attestation rule: the evidence has a selector of `kind` with one of these values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The selector's kind.
    pub kind: SelectorKind,
    /// The values allowed, at least one.
    pub any_of: Vec<Arc<str>>,
}

impl Rule {
    /// Whether the evidence fulfils it.
    pub fn holds(&self, evidence: &Evidence) -> bool {
        let has =
            |value: &Arc<str>| evidence.has(&Selector { kind: self.kind.clone(), value: Arc::clone(value) });
        self.any_of.iter().any(has)
    }
}

/// A resolved agent: who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its identity.
    pub id: AgentId,
    /// The entry it came from.
    pub entry: Arc<AgentEntry>,
}

impl Agent {
    /// The accountable party: the entry's principal, or the agent itself when it is autonomous.
    pub fn principal(&self) -> &str {
        self.entry.principal.as_deref().unwrap_or_else(|| self.id.as_str())
    }
}

/// An agent's name, possibly with placeholders `{kind}` that selectors fill: `runner-{unix.uid}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate {
    text: Arc<str>,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(Arc<str>),
    Of(SelectorKind),
}

impl NameTemplate {
    /// The text as declared.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether selectors have a part in the name.
    pub fn is_template(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Of(_)))
    }

    /// The kinds of its placeholders.
    pub fn kinds(&self) -> impl Iterator<Item = &SelectorKind> {
        self.parts.iter().filter_map(|part| match part {
            Part::Fixed(_) => None,
            Part::Of(kind) => Some(kind),
        })
    }

    /// The name for this evidence. `None` when a placeholder has no value or more than one, or when the
    /// result is not a name: a value can't smuggle a separator into an identity.
    pub fn fill(&self, evidence: &Evidence) -> Option<AgentName> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Fixed(text) => name.push_str(text),
                Part::Of(kind) => {
                    let mut values = evidence.values(kind);
                    name.push_str(values.next()?);
                    if values.next().is_some() {
                        return None;
                    }
                }
            }
        }
        name.parse().ok()
    }

    /// Whether some evidence could make `name` of it. Placeholders stand for one character or more.
    pub fn could_make(&self, name: &AgentName) -> bool {
        fits(&self.parts, name.as_str())
    }
}

fn fits(parts: &[Part], text: &str) -> bool {
    match parts {
        [] => text.is_empty(),
        [Part::Fixed(fixed), rest @ ..] => text.strip_prefix(&**fixed).is_some_and(|tail| fits(rest, tail)),
        // Names are at most 63 bytes and templates have few placeholders, so trying all cuts is cheap.
        [Part::Of(_), rest @ ..] => text
            .char_indices()
            .skip(1)
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| !text.is_empty() && text.get(at..).is_some_and(|tail| fits(rest, tail))),
    }
}

impl std::str::FromStr for NameTemplate {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName { expected: "a name, or a name with `{selector.kind}` placeholders" };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (kind, tail) = after.split_once('}').ok_or(BAD)?;
            parts.push(Part::Fixed(before.into()));
            parts.push(Part::Of(kind.parse().map_err(|_| BAD)?));
            rest = tail;
        }
        parts.push(Part::Fixed(rest.into()));
        parts.retain(|part| !matches!(part, Part::Fixed(text) if text.is_empty()));
        // With every placeholder filled by `x` the text must be a name, so a template can make names at all.
        let probe: String =
            parts.iter().map(|part| if let Part::Fixed(text) = part { text } else { "x" }).collect();
        probe.parse::<AgentName>().map_err(|_| BAD)?;
        Ok(Self { text: text.into(), parts })
    }
}

impl AgentEntry {
    /// The agent this evidence makes of the entry; `None` when a rule does not hold or the name can't be filled.
    pub fn resolve(self: &Arc<Self>, trust_domain: &TrustDomain, evidence: &Evidence) -> Option<Agent> {
        if self.rules.is_empty() || !self.rules.iter().all(|rule| rule.holds(evidence)) {
            return None;
        }
        let name = self.name.fill(evidence)?;
        Some(Agent { id: AgentId::new(trust_domain, self.tenant.clone(), name), entry: Arc::clone(self) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(facts: &[(&str, &str)]) -> Evidence {
        Evidence::new(facts.iter().map(|(kind, value)| Selector::new(kind, value).unwrap()), None).unwrap()
    }

    #[test]
    fn a_template_takes_its_name_from_selectors() {
        let template: NameTemplate = "runner-{unix.uid}".parse().unwrap();
        assert!(template.is_template());
        let name = template.fill(&evidence(&[("unix.uid", "1000")]));
        assert_eq!(name.map(|n| n.to_string()), Some("runner-1000".to_owned()));
    }

    #[test]
    fn a_selector_can_not_smuggle_a_path_into_an_identity() {
        let template: NameTemplate = "{systemd.unit}".parse().unwrap();
        for value in ["a/../b", "a/b", "..", "a b", "a%2f"] {
            assert_eq!(template.fill(&evidence(&[("systemd.unit", value)])), None, "{value}");
        }
        assert_eq!(template.fill(&evidence(&[("unix.uid", "1")])), None);
        assert_eq!(template.fill(&evidence(&[("systemd.unit", "a"), ("systemd.unit", "b")])), None);
    }

    #[test]
    fn a_template_knows_the_names_it_could_make() {
        let template: NameTemplate = "ci-{unix.uid}-x".parse().unwrap();
        for (name, fits) in [("ci-7-x", true), ("ci-12-x", true), ("ci--x", false), ("ci-7-y", false)] {
            assert_eq!(template.could_make(&name.parse().unwrap()), fits, "{name}");
        }
    }

    #[test]
    fn templates_that_could_never_make_a_name_are_refused() {
        for bad in ["", "a/{unix.uid}", "{unix.uid", "{}", "{UID}", "a b"] {
            assert!(bad.parse::<NameTemplate>().is_err(), "{bad}");
        }
    }
}

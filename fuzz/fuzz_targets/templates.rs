//! Templates of agents' names: the template on the first line, then selectors as `kind value`. Whatever
//! the values are, the identity that comes out is one segment of the entry's own tenant.
#![no_main]

use hotwork::domain::agent::NameTemplate;
use hotwork::domain::evidence::{Evidence, Selector};
use hotwork::domain::name::{AgentId, TenantName, TrustDomain};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (template, facts) = text.split_once('\n').unwrap_or((text, ""));
    let pairs = facts.lines().filter_map(|line| line.split_once(' '));
    let selectors = pairs.filter_map(|(kind, value)| Selector::new(kind, value).ok());
    let Ok(evidence) = Evidence::new(selectors, None) else { return };
    let Ok(template) = template.parse::<NameTemplate>() else { return };
    assert_eq!(template.is_template(), template.kinds().next().is_some());
    let Some(name) = template.fill(&evidence) else { return };
    let trust_domain: TrustDomain = "example.org".parse().expect("a trust domain");
    let tenant: TenantName = "acme".parse().expect("a tenant's name");
    let id = AgentId::new(&trust_domain, tenant.clone(), name.clone());
    let back: AgentId = id.as_str().parse().expect("what was made is an agent's id");
    assert_eq!((back.tenant(), back.name()), (&tenant, &name));
});

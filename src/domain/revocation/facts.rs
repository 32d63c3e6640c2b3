//! What of a credential a selector can name, and a table that finds every selector that names one.
//!
//! A check costs a bounded number of lookups, whatever has been revoked or locked: one for each fact, one
//! for each ancestor of the resource, one for each attested fact. A kind that nobody used costs nothing.

use super::selector::{KeyId, Party, Selector};
use super::shared::SharedMap;
use crate::domain::approval::Asked;
use crate::domain::credential::Issuance;
use crate::domain::evidence;
use crate::domain::id::{Lineage, Serial};
use crate::domain::name::{ActionName, AgentId, ApiName, TenantName};
use crate::domain::resource::Resource;

/// The facts of one credential, or of one that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The action; it tells the API.
    pub action: &'a ActionName,
    /// The holder; it tells the tenant.
    pub agent: &'a AgentId,
    /// What attestation established, of the kinds that are kept.
    pub attested: &'a [evidence::Selector],
    /// The signing key's id; absent before it is signed.
    pub key: Option<&'a str>,
    /// The lineage; absent before there is one.
    pub lineage: Option<&'a Lineage>,
    /// Who answers for the agent.
    pub owner: Option<&'a str>,
    /// The accountable party.
    pub principal: &'a str,
    /// The resource.
    pub resource: &'a Resource,
    /// A certificate's serial number.
    pub serial: Option<&'a Serial>,
}

impl Facts<'_> {
    /// Whether `selector` names a credential of these facts. One credential has its id beside its facts.
    pub fn named_by(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Action(action) => action == self.action,
            Selector::Agent(agent) => agent == self.agent,
            Selector::All => true,
            Selector::Api(api) => api.as_str() == self.action.api(),
            Selector::Attested(fact) => self.attested.contains(fact),
            Selector::Credential(_) => false,
            Selector::Key(key) => self.key == Some(key.as_str()),
            Selector::Lineage(lineage) => self.lineage == Some(lineage),
            Selector::Owner(owner) => self.owner == Some(owner.as_str()),
            Selector::Principal(principal) => principal.as_str() == self.principal,
            Selector::Resource(above) => {
                above == self.resource || self.resource.ancestors().any(|part| part == above.as_str())
            }
            Selector::Serial(serial) => self.serial == Some(serial),
            Selector::Tenant(tenant) => tenant == self.agent.tenant(),
        }
    }

    /// Every selector but the credential itself that names these facts.
    pub fn selectors(&self) -> Vec<Selector> {
        let parsed = |text: &str, selector: fn(Party) -> Selector| text.parse().ok().map(selector);
        let above = self.resource.ancestors().filter_map(|above| above.parse().ok());
        let one = [
            Some(Selector::Action(self.action.clone())),
            Some(Selector::Agent(self.agent.clone())),
            Some(Selector::All),
            self.action.api().parse().ok().map(Selector::Api),
            self.key.and_then(|key| key.parse().ok()).map(Selector::Key),
            self.lineage.copied().map(Selector::Lineage),
            self.owner.and_then(|owner| parsed(owner, Selector::Owner)),
            parsed(self.principal, Selector::Principal),
            Some(Selector::Resource(self.resource.clone())),
            self.serial.copied().map(Selector::Serial),
            Some(Selector::Tenant(self.agent.tenant().clone())),
        ];
        let attested = self.attested.iter().cloned().map(Selector::Attested);
        one.into_iter().flatten().chain(attested).chain(above.map(Selector::Resource)).collect()
    }
}

impl<'a> From<&'a Issuance> for Facts<'a> {
    fn from(issuance: &'a Issuance) -> Self {
        Self {
            action: &issuance.action,
            agent: &issuance.agent,
            attested: &issuance.attested,
            key: issuance.key.as_deref(),
            lineage: Some(&issuance.lineage),
            owner: issuance.owner.as_deref(),
            principal: &issuance.principal,
            resource: &issuance.resource,
            serial: issuance.serial.as_ref(),
        }
    }
}

/// What is asked for, before any key signs it.
impl<'a> From<&'a Asked> for Facts<'a> {
    fn from(asked: &'a Asked) -> Self {
        Self {
            action: &asked.terms.action,
            agent: &asked.terms.agent,
            attested: &asked.attested,
            key: None,
            lineage: Some(&asked.lineage),
            owner: Some(&asked.owner),
            principal: &asked.terms.principal,
            resource: &asked.terms.resource,
            serial: None,
        }
    }
}

/// What is known of an agent beside any credential.
#[derive(Clone, Copy, Debug)]
pub struct HolderFacts<'a> {
    /// Its id; it tells the tenant.
    pub agent: &'a AgentId,
    /// What attestation established, of the kinds that are kept.
    pub attested: &'a [evidence::Selector],
    /// Who answers for it, where that is known.
    pub owner: Option<&'a str>,
    /// The accountable party, where that is known.
    pub principal: Option<&'a str>,
}

/// Values by selector, but for single credentials. Its clone is a snapshot.
#[derive(Clone, Debug)]
pub(super) struct Table<V> {
    actions: SharedMap<ActionName, V>,
    agents: SharedMap<AgentId, V>,
    all: SharedMap<(), V>,
    apis: SharedMap<ApiName, V>,
    attested: SharedMap<evidence::Selector, V>,
    keys: SharedMap<KeyId, V>,
    lineages: SharedMap<Lineage, V>,
    owners: SharedMap<Party, V>,
    principals: SharedMap<Party, V>,
    resources: SharedMap<Resource, V>,
    serials: SharedMap<Serial, V>,
    tenants: SharedMap<TenantName, V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            actions: SharedMap::default(),
            agents: SharedMap::default(),
            all: SharedMap::default(),
            apis: SharedMap::default(),
            attested: SharedMap::default(),
            keys: SharedMap::default(),
            lineages: SharedMap::default(),
            owners: SharedMap::default(),
            principals: SharedMap::default(),
            resources: SharedMap::default(),
            serials: SharedMap::default(),
            tenants: SharedMap::default(),
        }
    }
}

impl<V: Clone + Default> Table<V> {
    /// Visits the value of every selector that names a credential of these facts.
    pub(super) fn visit<'s>(&'s self, facts: &Facts<'_>, mut visit: impl FnMut(&'s V)) {
        let resource = facts.resource;
        let one = [
            self.actions.get(facts.action),
            self.agents.get(facts.agent),
            self.all.get(&()),
            self.apis.get(facts.action.api()),
            facts.key.and_then(|key| self.keys.get(key)),
            facts.lineage.and_then(|lineage| self.lineages.get(lineage)),
            facts.owner.and_then(|owner| self.owners.get(owner)),
            self.principals.get(facts.principal),
            self.resources.get(resource),
            facts.serial.and_then(|serial| self.serials.get(serial)),
            self.tenants.get(facts.agent.tenant()),
        ];
        one.into_iter().flatten().for_each(&mut visit);
        if !self.attested.is_empty() {
            facts.attested.iter().filter_map(|fact| self.attested.get(fact)).for_each(&mut visit);
        }
        if !self.resources.is_empty() {
            resource.ancestors().filter_map(|above| self.resources.get(above)).for_each(&mut visit);
        }
    }

    /// The value of a key.
    pub(super) fn of_key(&self, kid: &str) -> Option<&V> {
        self.keys.get(kid)
    }

    /// Visits what names everything of a holder, by whatever is known of it.
    pub(super) fn visit_holder<'s>(&'s self, holder: &HolderFacts<'_>, mut visit: impl FnMut(&'s V)) {
        self.visit_agent(holder.agent, &mut visit);
        let parties = [
            holder.owner.and_then(|owner| self.owners.get(owner)),
            holder.principal.and_then(|principal| self.principals.get(principal)),
        ];
        parties.into_iter().flatten().for_each(&mut visit);
        holder.attested.iter().filter_map(|fact| self.attested.get(fact)).for_each(visit);
    }

    /// Visits what names everything of an agent, whatever else its credentials are.
    pub(super) fn visit_agent<'s>(&'s self, agent: &AgentId, visit: impl FnMut(&'s V)) {
        let one = [self.agents.get(agent), self.all.get(&()), self.tenants.get(agent.tenant())];
        one.into_iter().flatten().for_each(visit);
    }

    /// Changes the value of `selector`; one that `keep` does not want is taken out. A single credential has
    /// no place here.
    pub(super) fn change(
        &mut self,
        selector: &Selector,
        change: impl FnOnce(&mut V),
        keep: impl FnOnce(&V) -> bool,
    ) {
        match selector {
            Selector::Action(action) => self.actions.change(action, change, keep),
            Selector::Agent(agent) => self.agents.change(agent, change, keep),
            Selector::All => self.all.change(&(), change, keep),
            Selector::Api(api) => self.apis.change(api, change, keep),
            Selector::Attested(fact) => self.attested.change(fact, change, keep),
            Selector::Credential(_) => {}
            Selector::Key(key) => self.keys.change(key, change, keep),
            Selector::Lineage(lineage) => self.lineages.change(lineage, change, keep),
            Selector::Owner(owner) => self.owners.change(owner, change, keep),
            Selector::Principal(principal) => self.principals.change(principal, change, keep),
            Selector::Resource(resource) => self.resources.change(resource, change, keep),
            Selector::Serial(serial) => self.serials.change(serial, change, keep),
            Selector::Tenant(tenant) => self.tenants.change(tenant, change, keep),
        }
    }

    /// How many selectors have a value.
    pub(super) fn len(&self) -> usize {
        let who = [self.agents.len(), self.owners.len(), self.principals.len(), self.tenants.len()];
        let what = [self.actions.len(), self.apis.len(), self.resources.len(), self.attested.len()];
        let one = [self.all.len(), self.keys.len(), self.lineages.len(), self.serials.len()];
        who.into_iter().chain(what).chain(one).sum()
    }

    /// Every value with its selector, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Selector, &V)> {
        let named =
            |(key, value): (&Party, _), selector: fn(Party) -> Selector| (selector(key.clone()), value);
        let texts = self.owners.iter().map(move |item| named(item, Selector::Owner));
        let texts = texts.chain(self.principals.iter().map(move |item| named(item, Selector::Principal)));
        let ids = self.lineages.iter().map(|(key, value)| (Selector::Lineage(*key), value));
        let ids = ids.chain(self.serials.iter().map(|(key, value)| (Selector::Serial(*key), value)));
        let who = self.agents.iter().map(|(key, value)| (Selector::Agent(key.clone()), value));
        let who = who.chain(self.tenants.iter().map(|(key, value)| (Selector::Tenant(key.clone()), value)));
        let what = self.actions.iter().map(|(key, value)| (Selector::Action(key.clone()), value));
        let what = what.chain(self.apis.iter().map(|(key, value)| (Selector::Api(key.clone()), value)));
        let what =
            what.chain(self.resources.iter().map(|(key, value)| (Selector::Resource(key.clone()), value)));
        let how = self.attested.iter().map(|(key, value)| (Selector::Attested(key.clone()), value));
        let how = how.chain(self.keys.iter().map(|(key, value)| (Selector::Key(key.clone()), value)));
        let all = self.all.iter().map(|((), value)| (Selector::All, value));
        texts.chain(ids).chain(who).chain(what).chain(how).chain(all)
    }
}

//! Inventory: which agents, APIs and credentials there are. Reads happen off the async threads.

use std::collections::HashMap;
use std::sync::Arc;

use crate::attest::{AttestError, Presented};
use crate::domain::agent::AgentEntry;
use crate::domain::catalogue::{Action, Api};
use crate::domain::clock::Untrustworthy;
use crate::domain::credential::Credential;
use crate::domain::emergency::Emergency;
use crate::domain::id::CredentialId;
use crate::domain::limits::COUNT_MS_MAX;
use crate::domain::name::AgentId;
use crate::domain::operator::Operator;
use crate::domain::time::Timestamp;
use crate::notify::desk::DestinationView;
use crate::store::{Filter, LedgerError, LedgerStatus, Page, PageToken, ReadError, Reader};

use super::break_glass::GlassStatus;
use super::release::OwnError;
use super::revoke::deadline;
use super::{About, Broker};

/// An agent's entry with what the ledger knows of it.
#[derive(Clone, Debug)]
pub struct AgentView {
    /// The SPIFFE ID; for a template with its placeholders.
    pub id: String,
    /// The entry.
    pub entry: Arc<AgentEntry>,
    /// Credentials that are live now; 0 for a template.
    pub live: Live,
    /// When it was last given one, if that is in the index.
    pub last_issue: Option<Timestamp>,
}

/// How many credentials are live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// How many.
    pub count: u64,
    /// Whether some of them may have been ended: there were too many to look at each.
    pub at_most: bool,
}

/// How the broker is.
#[derive(Clone, Debug)]
pub struct Status {
    /// Facts about this daemon.
    pub about: About,
    /// The ledger.
    pub ledger: LedgerStatus,
    /// Why nothing is issued, when that is so.
    pub problem: Option<String>,
    /// What the broker does without, in an emergency.
    pub emergency: Option<Arc<Emergency>>,
    /// The feed of revocations.
    pub feed: FeedStatus,
    /// Locks in force.
    pub locks: usize,
    /// Who is told of what, and how far that is.
    pub notifiers: Vec<DestinationView>,
    /// Break-glass.
    pub break_glass: GlassStatus,
}

/// How the feed of revocations is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// The newest epoch.
    pub epoch: u64,
    /// Streams of verifiers that follow now: each instance has one.
    pub connected: usize,
    /// Those of them that have acknowledged the newest epoch; of a verifier with several, all or none.
    pub current: usize,
    /// Instances that do not follow and may still go on with what they last heard.
    pub away: usize,
    /// Age in milliseconds of the oldest end that one of those that follow has not acknowledged; 0 when there is none.
    pub lag_ms: i64,
}

/// Live credentials of each agent.
enum LiveByAgent {
    /// The ledger's counts are exact.
    Counted,
    /// They would count what was ended, so the records were looked at.
    Looked(HashMap<AgentId, u64>),
    /// There were too many to look at.
    TooMany,
}

impl Broker {
    /// Runs a read off the async threads.
    ///
    /// # Errors
    /// The read's own, or that it did not end.
    pub async fn read<T, F>(&self, read: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader) -> Result<T, ReadError> + Send + 'static,
    {
        let reader = self.ledger.reader();
        match tokio::task::spawn_blocking(move || read(&reader)).await {
            Ok(result) => result,
            Err(_) => Err(ReadError::Interrupted),
        }
    }

    /// The record of one credential.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn credential(&self, id: CredentialId) -> Result<Option<Credential>, ReadError> {
        self.read(move |reader| reader.credential(id)).await
    }

    /// A page of credentials, newest first.
    ///
    /// # Errors
    /// When the index can't be read, or the page token is not ours.
    pub async fn credentials(
        &self,
        filter: Filter,
        size: usize,
        token: Option<PageToken>,
    ) -> Result<Page, ReadError> {
        self.read(move |reader| reader.credentials(&filter, size, token)).await
    }

    /// A page of the caller's own credentials.
    ///
    /// # Errors
    /// When the caller is nobody we know, or the index can't be read.
    pub async fn own_credentials(
        &self,
        presented: &Presented,
        include_ended: bool,
        size: usize,
        token: Option<PageToken>,
    ) -> Result<Page, OwnError> {
        let attested = self.attest(presented).await?;
        let agent = Some(attested.agent().id.clone());
        let filter = Filter { agent, tenants: Vec::new(), include_ended, now: self.time() };
        Ok(self.credentials(filter, size, token).await?)
    }

    /// The actions that policies name for the caller.
    ///
    /// # Errors
    /// When the caller is nobody we know.
    pub async fn own_actions(
        &self,
        presented: &Presented,
    ) -> Result<Vec<(Arc<Api>, Arc<Action>)>, AttestError> {
        let rules = self.rules();
        let attested = self.attest_with(presented, &rules).await?;
        let agent = attested.agent();
        let named = rules.policies.actions_named_for(agent, &rules.registry);
        let action = |name| rules.registry.action(agent.id.tenant(), name);
        let found = named.iter().filter_map(action);
        Ok(found.map(|(api, action)| (Arc::clone(api), Arc::clone(action))).collect())
    }

    /// The registered agents that `operator` sees, sorted by id.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn agents(&self, operator: &Operator) -> Result<Vec<AgentView>, ReadError> {
        let rules = self.rules();
        let trust_domain = rules.registry.trust_domain();
        let seen = rules.registry.agents().iter().filter(|entry| operator.sees(&entry.tenant));
        let mut agents: Vec<(String, Arc<AgentEntry>)> = seen
            .map(|entry| {
                let (tenant, name) = (&entry.tenant, entry.name.as_str());
                (format!("spiffe://{trust_domain}/tenant/{tenant}/agent/{name}"), Arc::clone(entry))
            })
            .collect();
        agents.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.views(agents).await
    }

    /// The agent of this id when a template makes it, with what the ledger knows of it.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn agent_instance(
        &self,
        operator: &Operator,
        id: &AgentId,
    ) -> Result<Option<AgentView>, ReadError> {
        let agent = self.rules().registry.agent_by_id(id).filter(|_| operator.sees(id.tenant()));
        let Some(agent) = agent else { return Ok(None) };
        Ok(self.views(vec![(id.to_string(), agent.entry)]).await?.pop())
    }

    /// These with what the ledger knows of them, in their order.
    async fn views(&self, agents: Vec<(String, Arc<AgentEntry>)>) -> Result<Vec<AgentView>, ReadError> {
        let exact = self.live_by_agent().await?;
        let (reader, now) = (self.ledger.reader(), self.time());
        let view = |(id, entry): (String, Arc<AgentEntry>)| {
            // A template's text is no id; its instances are counted under their own.
            let Ok(known) = id.parse::<AgentId>() else {
                return Ok(AgentView { id, entry, live: Live::default(), last_issue: None });
            };
            // This is in memory: a thread of its own for each would be all that there is to it.
            let last_issue = reader.last_issue(&known)?;
            Ok(AgentView { id, entry, live: self.live_of(&known, &exact, now), last_issue })
        };
        agents.into_iter().map(view).collect()
    }

    fn live_of(&self, id: &AgentId, exact: &LiveByAgent, now: Timestamp) -> Live {
        let counted = || self.ledger.live_of(id, now);
        match exact {
            LiveByAgent::Counted => Live { count: counted(), at_most: false },
            LiveByAgent::Looked(counts) => {
                Live { count: counts.get(id).copied().unwrap_or_default(), at_most: false }
            }
            LiveByAgent::TooMany => Live { count: counted(), at_most: true },
        }
    }

    /// How many credentials are live.
    ///
    /// # Errors
    /// When the index can't be read.
    pub async fn live(&self) -> Result<Live, ReadError> {
        let counted = || self.ledger.live_total(self.time());
        Ok(match self.live_by_agent().await? {
            LiveByAgent::Counted => Live { count: counted(), at_most: false },
            LiveByAgent::Looked(counts) => Live { count: counts.values().sum(), at_most: false },
            LiveByAgent::TooMany => Live { count: counted(), at_most: true },
        })
    }

    /// [`Self::live`], or how many there are at most when the index can't be read.
    pub async fn live_or_bound(&self) -> Live {
        let bound = |error: ReadError| {
            tracing::warn!(%error, "live credentials can't be counted");
            Live { count: self.ledger.live_total(self.time()), at_most: true }
        };
        self.live().await.unwrap_or_else(bound)
    }

    /// A look at each record where the counts can't tell what was ended.
    async fn live_by_agent(&self) -> Result<LiveByAgent, ReadError> {
        let (known, now) = (self.ledger.revocations(), self.time());
        if !known.is_untold(now) {
            return Ok(LiveByAgent::Counted);
        }
        let deadline = deadline(COUNT_MS_MAX);
        let counts = self.read(move |reader| reader.live_by_agent(&known, now, deadline)).await?;
        Ok(counts.map_or(LiveByAgent::TooMany, LiveByAgent::Looked))
    }

    /// How the broker is.
    pub fn status(&self) -> Status {
        let ledger = self.ledger.status();
        let clock = self.believed_time().err().map(|error| error.to_string());
        let emergency = self.emergency();
        let said = emergency.as_ref().map(|emergency| format!("emergency: {emergency}"));
        let problem = ledger.problem.clone().or(said).or(clock);
        let now = self.time();
        let feed = self.feed_status(now);
        let locks = self.ledger.locks().iter().filter(|held| now < held.lock.terms.expires).count();
        let (notifiers, break_glass) = (self.notifiers(), self.break_glass_status());
        let about = self.about.clone();
        Status { about, ledger, problem, emergency, feed, locks, break_glass, notifiers }
    }

    fn feed_status(&self, now: Timestamp) -> FeedStatus {
        let epoch = self.ledger.revocations().epoch();
        let away =
            self.verifiers.standing(now).iter().filter_map(|view| view.away).map(|away| away.instances).sum();
        let mut status = FeedStatus { epoch, away, ..FeedStatus::default() };
        for view in self.verifiers.connected(now) {
            status.connected = status.connected.saturating_add(view.streams);
            let reached = view.acknowledged.map_or(0, |(reached, _)| reached);
            if reached >= epoch {
                status.current = status.current.saturating_add(view.streams);
                continue;
            }
            // Beyond the history, or before its first acknowledgement, it is as late as it is here.
            let missed = self.ledger.ended_since(reached, 1).and_then(|missed| missed.first().cloned());
            let since = missed.map(|missed| missed.time).or(view.since).unwrap_or(now);
            status.lag_ms = status.lag_ms.max(now.millis_since(since));
        }
        status
    }

    /// The time that the clock says, when it did not jump: for looking at what somebody presents. What is minted, recorded
    /// or destroyed takes [`Self::believed_time`].
    ///
    /// # Errors
    /// When the clock jumped.
    pub fn trusted_time(&self) -> Result<Timestamp, Untrustworthy> {
        self.clock.now()
    }

    /// The time that the clock says and the log believes: for what is minted or signed, and for what can't be taken back.
    ///
    /// # Errors
    /// When the clock jumped, is behind the newest entry, or far ahead of it and nobody has confirmed it (promise P11).
    pub fn believed_time(&self) -> Result<Timestamp, LedgerError> {
        self.ledger.believes(&*self.clock)
    }

    /// The time for views and for what is recorded on a bad clock, too: the newest entry's where the log does not believe
    /// the clock.
    pub fn time(&self) -> Timestamp {
        self.believed_time().unwrap_or_else(|_| self.ledger.status().high_water)
    }
}

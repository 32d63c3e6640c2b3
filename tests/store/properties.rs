//! Properties: whatever is submitted, in whatever groups, is what the journal holds.

use std::sync::Arc;

use hotwork::domain::entry::Entry;
use hotwork::domain::ledger::Command;
use hotwork::domain::merkle::{Frontier, leaf_hash};
use hotwork::domain::note::VerifierKey;
use hotwork::domain::revocation::Selector;
use hotwork::domain::signer::Signer as _;
use hotwork::store::{Filter, Ledger, LedgerError, verify};
use proptest::prelude::*;

use crate::support::*;

/// What one step does: issue to an agent, end one, end an agent's, end all, let time pass.
#[derive(Clone, Debug)]
enum Step {
    Issue(u8),
    EndOne(usize),
    EndAgent(u8),
    EndAll,
    Wait(i64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..3).prop_map(Step::Issue),
        2 => any::<prop::sample::Index>().prop_map(|at| Step::EndOne(at.index(1000))),
        1 => (0_u8..3).prop_map(Step::EndAgent),
        1 => Just(Step::EndAll),
        3 => (1_i64..200_000).prop_map(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

fn name(agent: u8) -> String {
    format!("agent-{agent}")
}

/// The plain model: every credential with its agent, times and end.
#[derive(Default)]
struct Model {
    credentials: Vec<(hotwork::domain::credential::Issuance, Option<u64>)>,
    size: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_ledger_agrees_with_a_plain_model_over_restarts(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let clock = clock();
        let small = || {
            let mut options = options(dir.path(), &clock);
            options.segment_bytes_max = 5_000;
            Ledger::open(options).unwrap()
        };
        let (mut ledger, mut now, mut model) = (Some(small()), START, Model::default());
        for (number, step) in steps.iter().enumerate() {
            // Time passes, so that no credential is minted in the very millisecond of a watermark.
            now = now.plus_millis(1);
            clock.set(now);
            let live = ledger.as_ref().unwrap();
            match step {
                Step::Issue(agent) => {
                    let issuance = issuance(now, u64::try_from(number).unwrap(), &name(*agent));
                    submit(live, hotwork::domain::ledger::Command::Issue(Box::new(issuance.clone()))).unwrap();
                    model.credentials.push((issuance, None));
                    model.size += 1;
                }
                Step::EndOne(at) => {
                    let count = model.credentials.len();
                    let Some((issuance, ended)) = model.credentials.get_mut(at % count.max(1)) else { continue };
                    let lives = ended.is_none() && issuance.expires > now;
                    let result = submit(live, revoke_one(issuance));
                    prop_assert_eq!(result.is_ok(), lives);
                    if lives {
                        *ended = Some(model.size);
                        model.size += 1;
                    }
                }
                Step::EndAgent(_) | Step::EndAll => {
                    let covers = |agent: &hotwork::domain::name::AgentId| match step {
                        Step::EndAgent(ended) => agent.as_str().ends_with(&name(*ended)),
                        _ => true,
                    };
                    let selector = match step {
                        Step::EndAgent(ended) => Selector::Agent(agent(&name(*ended))),
                        _ => Selector::All,
                    };
                    let mut count = 0;
                    for (issuance, ended) in &mut model.credentials {
                        if covers(&issuance.agent) && ended.is_none() && issuance.expires > now {
                            *ended = Some(model.size);
                            count += 1;
                        }
                    }
                    prop_assert_eq!(submit(live, revoke(selector)).unwrap().live_ended(), Some(count));
                    model.size += 1;
                }
                Step::Wait(millis) => now = now.plus_millis(*millis),
                Step::Restart => {
                    drop(ledger.take());
                    ledger = Some(small());
                }
            }
        }
        let ledger = ledger.unwrap();
        let reader = ledger.reader();
        let mut frontier = Frontier::default();
        for index in 0..model.size {
            let json = reader.entry(index).unwrap().unwrap();
            prop_assert_eq!(Entry::from_json(&json).unwrap().to_canonical_json().unwrap(), json.clone());
            frontier.push(leaf_hash(&json));
        }
        prop_assert_eq!((ledger.status().size, ledger.status().root), (model.size, frontier.root()));
        let live = model.credentials.iter().filter(|(i, ended)| ended.is_none() && i.expires > now);
        prop_assert_eq!(ledger.live_total(now), u64::try_from(live.count()).unwrap());
        let filter = Filter { agent: None, tenants: vec![], include_ended: true, now };
        let page = reader.credentials(&filter, 1000, None).unwrap();
        let listed: Vec<_> =
            page.credentials.into_iter().rev().map(|c| (c.issuance, c.ended.map(|ended| ended.index))).collect();
        prop_assert_eq!(listed, model.credentials);
        let key = VerifierKey::new(ORIGIN.to_owned(), LogKey::new(7).public_key().try_into().unwrap());
        prop_assert_eq!(verify::directory(dir.path(), &key, None, &mut |_| {}).unwrap().entries, model.size);
    }
}

#[test]
fn concurrent_callers_share_groups_and_each_gets_its_own_entry() {
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let ledger = open(dir.path(), &clock);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let results: Vec<_> = runtime.block_on(async {
        let tasks = (0..600).map(|number| {
            let ledger = ledger.clone();
            tokio::spawn(async move { (number, ledger.submit(issue(START, number, "a")).await) })
        });
        let mut results = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            results.push(task.await.unwrap());
        }
        results
    });
    let reader = ledger.reader();
    let mut indexes: Vec<u64> = Vec::new();
    for (number, result) in results {
        let recorded = result.unwrap();
        let found = reader.credential(id(START, number)).unwrap().unwrap();
        assert_eq!(found.index, recorded.index());
        indexes.push(recorded.index());
    }
    indexes.sort_unstable();
    assert_eq!(indexes, (0..600).collect::<Vec<_>>());
}

#[test]
fn the_queue_takes_its_bound_and_refuses_the_next_at_once_but_not_the_kill_switch() {
    use hotwork::domain::limits::{LEDGER_QUEUE_CALLS, LEDGER_QUEUE_MAX, LEDGER_QUEUE_VITAL};
    let dir = tempfile::tempdir().unwrap();
    let clock = clock();
    let (entered, gate) = (Arc::new(std::sync::Barrier::new(2)), Arc::new(std::sync::Barrier::new(2)));
    let (entered2, gate2) = (Arc::clone(&entered), Arc::clone(&gate));
    let wrap = move |engine| Box::new(Gated { engine, entered: Some(entered2), gate: gate2 }) as Box<_>;
    let ledger = Ledger::open_with(options(dir.path(), &clock), wrap).unwrap();
    block_on(async {
        let mut first = Box::pin(ledger.submit(issue(START, 0, "a")));
        poll_once(&mut first).await;
        entered.wait();
        let mut waiting: Vec<_> = (1..=u64::try_from(LEDGER_QUEUE_MAX).unwrap())
            .map(|number| Box::pin(ledger.submit(issue(START, number, "a"))))
            .collect();
        for submission in &mut waiting {
            poll_once(submission).await;
        }
        assert_eq!(ledger.submit(issue(START, 9999, "a")).await.unwrap_err(), LedgerError::Busy);
        // Operators have places of their own, and what stops something the last ones.
        let mut calls: Vec<_> = (0..LEDGER_QUEUE_CALLS).map(|_| Box::pin(ledger.submit(call()))).collect();
        for submission in &mut calls {
            poll_once(submission).await;
        }
        assert_eq!(ledger.submit(call()).await.unwrap_err(), LedgerError::Busy);
        let revoke = || Command::Revoke { revocation: revocation(Selector::All), target: None };
        let mut vital: Vec<_> = (0..LEDGER_QUEUE_VITAL).map(|_| Box::pin(ledger.submit(revoke()))).collect();
        for submission in &mut vital {
            poll_once(submission).await;
        }
        assert_eq!(ledger.submit(revoke()).await.unwrap_err(), LedgerError::Busy);
        gate.wait();
        assert!(first.await.is_ok());
        for submission in calls.into_iter().chain(vital) {
            assert!(submission.await.is_ok());
        }
        for submission in waiting {
            assert!(submission.await.is_ok());
        }
    });
}

async fn poll_once<F: Future + Unpin>(future: &mut F) {
    std::future::poll_fn(|context| {
        assert!(std::pin::Pin::new(&mut *future).poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

/// An engine that waits in its first append until it is let go.
struct Gated {
    engine: Box<dyn hotwork::store::Store>,
    entered: Option<Arc<std::sync::Barrier>>,
    gate: Arc<std::sync::Barrier>,
}

impl hotwork::store::Store for Gated {
    fn append(
        &mut self,
        batch: &hotwork::store::Batch<'_>,
    ) -> Result<hotwork::store::Place, hotwork::store::StoreError> {
        if let Some(entered) = self.entered.take() {
            entered.wait();
            self.gate.wait();
        }
        self.engine.append(batch)
    }
}

//! Each selector of `hotwork revoke` on the whole way: what it names is refused and what it does not name goes on, by the broker
//! that is asked, by a verifier that follows its feed, and at the socket for proxies.

mod site;

use std::collections::HashSet;
use std::mem::{Discriminant, discriminant};

use hotwork::domain::revocation::Selector;

use crate::support::text;

use self::site::{BESIDE, CODER, LIST, PAGE, READ, Shown, Site};

/// What each of those who are asked says of a credential that passes, in the order of [`Site::seen`].
const PASSES: [&str; 3] = ["active", "ok", "ok"];
const ENDED: [&str; 3] = ["inactive", "credential-ended", "credential-ended"];

/// What is tried, and of which kinds there was a selector.
struct Table {
    site: Site,
    kinds: HashSet<Discriminant<Selector>>,
}

impl Table {
    async fn says(&self, shown: &Shown, expected: [&str; 3], why: &str) {
        assert_eq!(self.site.seen(shown).await, expected, "{why}");
    }

    /// Revokes by the selector, with more words in the command. Before it all pass; after it `named` are seen as `refused`, and
    /// the others and what is minted then pass everywhere, but for a verifier that follows where no credential tells it.
    async fn ends(
        &mut self,
        (selector, more): (Selector, &[&str]),
        named: &[&Shown],
        refused: [&str; 3],
        others: &[&Shown],
    ) {
        for shown in named.iter().chain(others) {
            self.says(shown, PASSES, &format!("{selector}: before")).await;
        }
        let option = option(&selector);
        let line = ["revoke", "--reason", "a test", "--yes", "--wait", "8s"];
        let line: Vec<&str> =
            line.into_iter().chain(option.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        let output = self.site.daemon.hotwork(&line);
        assert!(output.status.success(), "{line:?}: {}", text(&output));
        assert!(text(&output).contains("#selectors acknowledged"), "{}", text(&output));
        // What the operator is told is what the follower does.
        assert_eq!(text(&output).contains("ALL older credentials"), !selector.is_told(), "{}", text(&output));
        for shown in named {
            self.says(shown, refused, &format!("{selector}: named")).await;
        }
        let beside = if selector.is_told() { PASSES } else { ["active", "status-unknown", "ok"] };
        for shown in others {
            self.says(shown, beside, &format!("{selector}: not named")).await;
        }
        self.says(&self.site.token(READ).await, PASSES, &format!("{selector}: after it")).await;
        self.kinds.insert(discriminant(&selector));
    }
}

/// The option of the command.
fn option(selector: &Selector) -> Vec<String> {
    let (option, value) = match selector {
        Selector::Action(action) => ("--action", action.to_string()),
        Selector::Agent(agent) => ("--agent", agent.to_string()),
        Selector::All => return vec!["--all".into()],
        Selector::Api(api) => ("--api", api.to_string()),
        Selector::Attested(fact) => ("--attested", format!("{}={}", fact.kind, fact.value)),
        Selector::Credential(id) => ("--credential", id.to_string()),
        Selector::Key(key) => ("--key", key.to_string()),
        Selector::Lineage(lineage) => ("--lineage", lineage.to_string()),
        Selector::Owner(owner) => ("--owner", owner.to_string()),
        Selector::Principal(principal) => ("--principal", principal.to_string()),
        Selector::Resource(resource) => ("--resource-prefix", resource.to_string()),
        Selector::Serial(serial) => ("--serial", serial.to_string()),
        Selector::Tenant(tenant) => ("--tenant", tenant.to_string()),
    };
    vec![option.to_owned(), value]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_selector_ends_what_it_names_and_nothing_else_wherever_it_is_shown() {
    let (site, old) = Site::start().await;
    let mut table = Table { site, kinds: HashSet::new() };
    // The key comes first: what it signed would end with any of the others. It leaves the key set, so that the proxies' socket
    // does not know it any more; the follower still trusts the keys of its start.
    let [new, certificate] = table.site.both(READ).await;
    let gone = ["inactive", "credential-ended", "credential-key"];
    let key = Selector::Key(old.kid().parse().unwrap());
    table.ends((key, &[]), &[&old], gone, &[&new, &certificate]).await;

    let (one, again) = (table.site.both(READ).await, table.site.both(READ).await);
    let credential = Selector::Credential(one[0].record.id.parse().unwrap());
    table.ends((credential, &[]), &[&one[0]], ENDED, &[&one[1], &again[0], &again[1]]).await;
    let credential = Selector::Credential(one[1].record.id.parse().unwrap());
    table.ends((credential, &[]), &[&one[1]], ENDED, &[&again[0], &again[1]]).await;
    let (one, more) = (again, table.site.both(READ).await);
    let serial = Selector::Serial(one[1].record.serial.parse().unwrap());
    table.ends((serial, &[]), &[&one[1]], ENDED, &[&one[0], &more[0], &more[1]]).await;
    let lineage = Selector::Lineage(one[0].record.lineage.parse().unwrap());
    table.ends((lineage, &[]), &[&one[0]], ENDED, &[&more[0], &more[1]]).await;

    let agent = Selector::Agent(more[0].record.agent.parse().unwrap());
    table
        .ends((agent, &[]), &[&more[0], &more[1]], ENDED, &[&table.site.testers(), &table.site.desks()])
        .await;
    let (mine, testers, desks) = (table.site.both(READ).await, table.site.testers(), table.site.desks());
    let owner = Selector::Owner(CODER[2].parse().unwrap());
    // By its record. The verifier that follows sees nothing of it in the credential.
    let untold = ["inactive", "status-unknown", "credential-ended"];
    table.ends((owner, &[]), &[&mine[0], &mine[1], &desks], untold, &[&testers]).await;
    let (mine, testers, desks) = (table.site.both(READ).await, table.site.testers(), table.site.desks());
    let principal = Selector::Principal(CODER[3].parse().unwrap());
    table.ends((principal, &[]), &[&mine[0], &mine[1], &desks], ENDED, &[&testers]).await;
    let (mine, desks) = (table.site.both(READ).await, table.site.desks());
    let tenant = Selector::Tenant("default".parse().unwrap());
    table.ends((tenant, &[]), &[&mine[0], &mine[1], &testers], ENDED, &[&desks]).await;

    let (mine, other) = (table.site.both(READ).await, table.site.both(PAGE).await);
    let api = Selector::Api("repo".parse().unwrap());
    table.ends((api, &[]), &[&mine[0], &mine[1]], ENDED, &[&other[0], &other[1]]).await;
    let (mine, other) = (table.site.both(READ).await, table.site.both(LIST).await);
    let action = Selector::Action(READ.0.parse().unwrap());
    table.ends((action, &[]), &[&mine[0], &mine[1]], ENDED, &[&other[0], &other[1]]).await;
    let (mine, other) = (table.site.both(READ).await, table.site.both(BESIDE).await);
    let resource = Selector::Resource("repo/acme".parse().unwrap());
    table.ends((resource, &[]), &[&mine[0], &mine[1]], ENDED, &[&other[0], &other[1]]).await;

    // The program of tester and desk.
    let (mine, testers, desks) = (table.site.both(READ).await, table.site.testers(), table.site.desks());
    let facts = table.site.daemon.json(&["whoami"])["selectors"].clone();
    let facts = facts.as_array().unwrap().iter().map(|fact| fact.as_str().unwrap());
    let program = { facts }.find(|fact| fact.starts_with("unix.sha256:")).unwrap().to_owned();
    let attested = Selector::Attested(program.parse().unwrap());
    table.ends((attested, &[]), &[&testers, &desks], untold, &[&mine[0], &mine[1]]).await;

    let (before, testers) = (table.site.both(READ).await, table.site.testers());
    let mut after = table.site.both(READ).await;
    // Two may have been minted in one millisecond, and that one is not before it.
    while after[0].minted() <= before[1].minted() {
        after = table.site.both(READ).await;
    }
    let time = jiff::Timestamp::from_millisecond(after[0].minted()).unwrap().to_string();
    let more = ["--issued-before", &*time];
    let [old, new] = [[&before[0], &before[1]], [&after[0], &after[1]]];
    table.ends((Selector::All, &more), &[old[0], old[1], &testers], ENDED, &new).await;
    let desks = table.site.desks();
    table.ends((Selector::All, &[]), &[new[0], new[1], &desks], ENDED, &[]).await;
    assert_eq!(table.kinds.len(), 13, "one of them has no line here");
}

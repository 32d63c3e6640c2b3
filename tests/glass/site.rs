//! A broker with the orchestration example's playbooks, and operators whose SSH keys are here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotwork::api::authz;
use hotwork::app::build::App;
use hotwork::broker::Broker;
use hotwork::broker::break_glass::{Act, GlassError, GlassProgress, Prepare, SignGlass};
use hotwork::broker::operate::{Authorized, Caller, Requirement};
use hotwork::clock::{ManualClock, SystemClock};
use hotwork::config::Config;
use hotwork::domain::clock::Clock;
use hotwork::domain::id::Lineage;

use crate::signing::KeyPair;
use crate::support;

pub const NAMESPACE: &str = "hotwork-break-glass";

/// Names and roles.
const OPERATORS: [(&str, &str); 5] = [
    ("alice", "\"admin\", \"responder\", \"revoker\", \"viewer\""),
    ("bob", "\"responder\""),
    ("carol", "\"responder\""),
    ("ruth", "\"revoker\""),
    ("sam", "\"admin\""),
];

pub struct Site {
    pub app: App,
    pub clock: Arc<ManualClock>,
    pub dir: tempfile::TempDir,
    pub keys: BTreeMap<&'static str, KeyPair>,
}

impl Site {
    pub async fn open() -> Self {
        Self::open_on(|clock| clock).await
    }

    /// On the clock that is made of the one that the test holds.
    pub async fn open_on<C: Clock + 'static>(made: impl FnOnce(Arc<ManualClock>) -> Arc<C>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = support::example("orchestration", dir.path());
        let keys: BTreeMap<_, _> =
            OPERATORS.iter().map(|(name, _)| (*name, KeyPair::ed25519(dir.path(), name))).collect();
        std::fs::write(file.with_file_name("operators.toml"), operators(&keys)).unwrap();
        let config = Config::load(&file).unwrap_or_else(|bad| panic!("{bad}"));
        let clock = Arc::new(ManualClock::new(SystemClock::new().now().unwrap()));
        let app = App::build_on(config, None, made(Arc::clone(&clock))).await.unwrap();
        Self { app, clock, dir, keys }
    }

    pub fn broker(&self) -> &Arc<Broker> {
        &self.app.broker
    }

    pub async fn by(&self, name: &str, row: Requirement) -> Authorized {
        let caller = Caller::Certificate(name.parse().unwrap());
        self.broker().authorize(&caller, row).await.unwrap()
    }

    /// The text of an opening or a drill, as the broker writes it.
    pub async fn text(&self, playbook: &str, drill: bool) -> String {
        let asked = Prepare::Open {
            drill,
            playbook: playbook.parse().unwrap(),
            reason: "n1 does not drain".parse().unwrap(),
            seconds: None,
            ticket: "INC-7".parse().unwrap(),
        };
        self.prepared(asked).await
    }

    pub async fn prepared(&self, asked: Prepare) -> String {
        let by = self.by("alice", authz::PREPARE).await;
        self.broker().prepare_break_glass(&by, asked).unwrap().statement.as_str().to_owned()
    }

    pub fn signed(&self, text: &str, name: &str) -> SignGlass {
        self.signed_with(text, &self.keys[name])
    }

    pub fn signed_with(&self, text: &str, key: &KeyPair) -> SignGlass {
        SignGlass { text: text.to_owned(), signature: key.sign(NAMESPACE, text) }
    }

    /// Loads the registry with this line for who may sign for `node-repair`.
    pub async fn named(&mut self, responders: &str) {
        let file = self.dir.path().join("config/playbooks/node-repair.toml");
        let text = std::fs::read_to_string(&file).unwrap().replace("responders = []", responders);
        std::fs::write(&file, text).unwrap();
        self.broker().reload(None).await.unwrap();
    }

    /// Gives the person another key, and loads the registry; gives the old key.
    pub async fn replace_key(&mut self, name: &'static str) -> KeyPair {
        let new = KeyPair::ed25519(self.dir.path(), &format!("{name}-new"));
        let old = self.keys.insert(name, new).unwrap();
        std::fs::write(self.dir.path().join("config/operators.toml"), operators(&self.keys)).unwrap();
        self.broker().reload(None).await.unwrap();
        old
    }

    /// Sends a text with the signature of this person, whatever it asks for.
    pub async fn sign(&self, text: &str, name: &str) -> Result<GlassProgress, GlassError> {
        let act = match text.lines().find_map(|line| line.strip_prefix("asks: ")) {
            Some("drill") => Act::Drill,
            Some("extend") => Act::Extend,
            _ => Act::Open,
        };
        let by = self.by("alice", authz::OPEN).await;
        self.broker().sign_break_glass(&by, act, self.signed(text, name)).await
    }

    /// A session that these people opened.
    pub async fn opened(&self, playbook: &str, drill: bool, people: &[&str]) -> Lineage {
        let text = self.text(playbook, drill).await;
        let mut session = None;
        for name in people {
            session = self.sign(&text, name).await.unwrap().session;
        }
        session.unwrap()
    }
}

fn operators(keys: &BTreeMap<&'static str, KeyPair>) -> String {
    let entries = OPERATORS.map(|(name, roles)| {
        let key = keys[name].public();
        format!("[[operator]]\nname = \"{name}\"\nroles = [{roles}]\nssh_keys = [\"{key}\"]\n")
    });
    entries.concat()
}

/// Waits for what comes without the test.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

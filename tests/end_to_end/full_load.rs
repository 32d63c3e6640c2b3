//! The kill switch against many callers at once: after its acknowledgement nothing is issued that it bears on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hotwork::proto::v1::issue_certificate_request::Key;
use hotwork::proto::v1::{ActionRequest, IssueCertificateRequest, IssueTokenRequest, ListEntriesRequest};
use rcgen::{CertificateParams, KeyPair};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::support::Daemon;

const CALLERS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(60);

/// Callers that ask as fast as they are answered: half of them for tokens, half for certificates.
#[derive(Default)]
struct Load {
    issued: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    async fn start(daemon: &Daemon) -> Self {
        let csr = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap()).unwrap();
        let request = ActionRequest {
            action: "demo.read".into(),
            resource: "demo/hello".into(),
            ..ActionRequest::default()
        };
        let mut load = Self::default();
        for number in 0..CALLERS {
            let (mut client, request) = (daemon.agent().await, Some(request.clone()));
            let (issued, refused) = (Arc::clone(&load.issued), Arc::clone(&load.refused));
            let token = IssueTokenRequest { request: request.clone(), binding: None };
            let certificate = IssueCertificateRequest { request, key: Some(Key::CsrDer(csr.der().to_vec())) };
            load.callers.push(tokio::spawn(async move {
                loop {
                    let answer = if number % 2 == 0 {
                        client.issue_token(token.clone()).await.map(drop)
                    } else {
                        client.issue_certificate(certificate.clone()).await.map(drop)
                    };
                    count(&answer, &issued, &refused);
                }
            }));
        }
        load
    }

    /// Waits until each caller has been answered in this way, on the average twice.
    async fn goes_on(&self, counted: &AtomicUsize, what: &str) {
        let until = counted.load(Ordering::SeqCst) + 2 * CALLERS;
        let deadline = Instant::now() + PATIENCE;
        while counted.load(Ordering::SeqCst) < until {
            assert!(Instant::now() < deadline, "{what}: {counted:?} of {until}");
            assert!(self.callers.iter().all(|caller| !caller.is_finished()), "a caller has failed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.callers.iter().for_each(JoinHandle::abort);
    }
}

fn count(answer: &Result<(), Status>, issued: &AtomicUsize, refused: &AtomicUsize) {
    match answer {
        Ok(()) => issued.fetch_add(1, Ordering::SeqCst),
        Err(status) if status.code() == Code::PermissionDenied => {
            assert!(status.message().contains("frozen"), "{status:?}");
            refused.fetch_add(1, Ordering::SeqCst)
        }
        // What is on its way when a lock comes is told to ask again.
        Err(status) if matches!(status.code(), Code::Aborted | Code::ResourceExhausted) => 0,
        Err(status) => panic!("{status:?}"),
    };
}

/// The kinds of the entries from this index on, as many as there are now: the load goes on.
async fn kinds(daemon: &Daemon, mut from: u64) -> Vec<String> {
    let size: u64 = daemon.json(&["status"])["logSize"].as_str().unwrap().parse().unwrap();
    let mut audit = daemon.audit().await;
    let mut kinds = Vec::new();
    while from < size {
        let asked = ListEntriesRequest { first_index: Some(from), page_size: 1_000 };
        let page = audit.list_entries(asked).await.unwrap().into_inner().entries;
        from = page.last().unwrap().index + 1;
        kinds.extend(page.iter().map(|entry| {
            let entry: serde_json::Value = serde_json::from_str(&entry.json).unwrap();
            entry["event"].as_object().unwrap().keys().next().unwrap().clone()
        }));
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_are_issued_nothing_after_a_lock_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::dev(&dir.path().join("state"));
    let agent = daemon.json(&["whoami"])["agent"].as_str().unwrap().to_owned();
    let load = Load::start(&daemon).await;
    let switches: [&[&str]; 4] =
        [&["--all"], &["--tenant", "default"], &["--api", "demo"], &["--agent", &agent]];
    for switch in switches {
        load.goes_on(&load.issued, "issuing").await;
        let lock = [&["lock", "create", "--ttl", "10m", "--message", "frozen"], switch].concat();
        let lock = daemon.json(&lock)["lock"]["id"].as_str().unwrap().to_owned();
        load.goes_on(&load.refused, "refused").await;
        // As the log has it: what was on its way, and what came later.
        let after = kinds(&daemon, lock.parse().unwrap()).await;
        assert_eq!(after.first().map(String::as_str), Some("lock"));
        assert!(after.iter().filter(|kind| *kind == "deny").count() >= CALLERS, "{switch:?}: {after:?}");
        assert!(!after.iter().any(|kind| kind == "issue"), "{switch:?}: {after:?}");
        daemon.json(&["lock", "rm", &lock]);
    }
}

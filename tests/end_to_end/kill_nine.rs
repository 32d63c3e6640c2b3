//! Promise P1 under `kill -9`: what was acknowledged is there after every restart. The client keeps the
//! acknowledgements. `HOTWORK_KILL_CYCLES` sets the number of cycles.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hotwork::proto::v1::{ActionRequest, GetCredentialRequest, IssueTokenRequest};

use crate::support::Daemon;

const CALLERS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_issuance_is_lost_over_kill_nine() {
    let cycles: u64 = std::env::var("HOTWORK_KILL_CYCLES").map_or(100, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut acknowledged_before: Vec<String> = Vec::new();
    let mut total = 0;
    for cycle in 0..cycles {
        let daemon = Daemon::dev(&state);
        all_there(&daemon, &acknowledged_before).await;
        acknowledged_before = issue_until_killed(daemon, cycle).await;
        total += acknowledged_before.len();
    }
    let daemon = Daemon::dev(&state);
    all_there(&daemon, &acknowledged_before).await;
    let key = state.join("log.pub");
    let verified =
        daemon.hotwork(&["audit", "verify", state.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", crate::support::text(&verified));
    assert!(total >= cycles as usize, "the load must reach the broker: {total} in {cycles} cycles");
    eprintln!("{total} acknowledged over {cycles} kills, 0 lost");
}

async fn issue_until_killed(daemon: Daemon, cycle: u64) -> Vec<String> {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = Vec::new();
    for _ in 0..CALLERS {
        let mut client = daemon.agent().await;
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        callers.push(tokio::spawn(async move {
            let request = ActionRequest {
                action: "demo.read".to_owned(),
                resource: "demo/kill".to_owned(),
                ..ActionRequest::default()
            };
            while !stop.load(Ordering::Relaxed) {
                let request = IssueTokenRequest { request: Some(request.clone()), binding: None };
                let Ok(answer) = client.issue_token(request).await else { return };
                acknowledged.lock().unwrap().push(answer.into_inner().credential.unwrap().id);
            }
        }));
    }
    // From the first acknowledgement on, so that a busy machine does not kill before the load has begun. The
    // moment then varies over the commit groups, 0 to 49 ms.
    let nothing_yet = || acknowledged.lock().unwrap().is_empty();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while nothing_yet() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(cycle * 37 % 50)).await;
    daemon.kill_nine();
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    Arc::try_unwrap(acknowledged).unwrap().into_inner().unwrap()
}

async fn all_there(daemon: &Daemon, ids: &[String]) {
    let mut admin = daemon.admin().await;
    for id in ids {
        let found = admin.get_credential(GetCredentialRequest { credential_id: id.clone() }).await;
        assert!(found.is_ok(), "lost {id}: {found:?}");
    }
}

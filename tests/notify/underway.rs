//! Who asks for something that takes long and goes away: it is done all the same, in the places that were theirs.

use std::path::Path;

use hotwork::domain::limits::READS_PER_OPERATOR_MAX;
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::{ListAgentsRequest, TestNotifierRequest};
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

use crate::Site;
use crate::support::eventually;

/// Begins, and ends when it is told to, or after ten seconds.
const SLOW: &str = "[[notify]]\nname = \"slow\"\nkind = \"command\"\nnotices = [\"locked\"]\n\
    command = [\"/bin/sh\", \"-c\", \"echo >> {dir}/begun; for i in $(seq 100); do [ -e {dir}/go ] || sleep 0.1; done\"]\n";

fn begun(dir: &Path) -> usize {
    std::fs::read_to_string(dir.join("begun")).unwrap_or_default().lines().count()
}

/// Why a list of agents is refused, if it is.
async fn refused(admin: &mut AdminServiceClient<Channel>) -> Option<String> {
    let status = admin.list_agents(ListAgentsRequest::default()).await.err()?;
    Some(status.get_details_error_info().map_or_else(|| status.to_string(), |info| info.reason))
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_whose_caller_has_gone_have_their_places_until_they_are_done() {
    let site = Site::new(SLOW);
    let daemon = site.start();
    let mut admin = daemon.admin().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..READS_PER_OPERATOR_MAX {
        let mut admin = admin.clone();
        callers.spawn(async move { admin.test_notifier(TestNotifierRequest::default()).await.is_ok() });
    }
    eventually("all are at work", || begun(site.dir.path()) == READS_PER_OPERATOR_MAX);
    // Each of them resets its stream; the daemon hears of that before it hears of what is asked next.
    callers.shutdown().await;
    for _ in 0..20 {
        assert_eq!(refused(&mut admin).await.as_deref(), Some("operator-busy"), "a place is free too early");
    }
    // What stops something finds its own.
    crate::lock(&daemon, &["--all"]);
    std::fs::write(site.dir.path().join("go"), "").unwrap();
    let end = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while let Some(reason) = refused(&mut admin).await {
        assert!(reason == "operator-busy" && tokio::time::Instant::now() < end, "{reason}");
    }
}

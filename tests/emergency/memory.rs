//! An emergency on a host whose memory for everybody is full: any process can do that.

use std::process::Command;

use crate::site::Site;
use crate::support::{Daemon, code, text};

/// Becomes the daemon in a namespace where the usual directories in memory have a page each.
const FULL: &str = "mount -t tmpfs -o size=4k,mode=1777 tmpfs /dev/shm && mount -t tmpfs -o size=4k tmpfs /run && exec \"$@\"";

fn can_mount() -> bool {
    let mut tried = Command::new("unshare");
    tried.args(["-m", "sh", "-c", FULL, "sh", "true"]);
    tried.status().is_ok_and(|status| status.success())
}

#[test]
fn an_emergency_starts_beside_its_sockets_when_others_have_filled_the_memory() {
    let (Some(site), true) = (Site::new("coding", ""), can_mount()) else {
        eprintln!("SKIPPED: an_emergency_starts_beside_its_sockets needs root to mount small file systems");
        return;
    };
    let (daemon, _) = site.start(true);
    assert_eq!(daemon.stop(), 0);
    site.fill();
    let shadows = || {
        let names = std::fs::read_dir(site.dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("hotwork-emergency-")).count()
    };
    let program = ["unshare", "-m", "sh", "-c", FULL, "sh"];
    let daemon = site.known(Daemon::serve_under(&program, &site.config, &site.state));
    let status = daemon.hotwork(&["status"]);
    assert!(text(&status).contains("emergency: the store takes no writes"), "{}", text(&status));
    let revoked = daemon.hotwork(&["revoke", "--all", "--yes", "--reason", "incident 42"]);
    assert_eq!(code(&revoked), 0, "{}", text(&revoked));
    assert_eq!(shadows(), 1);
    assert!(daemon.log().contains("no room for what readers need"), "{}", daemon.log());
    daemon.kill_nine();
    // What a killed one left is swept by the next.
    let daemon = site.known(Daemon::serve_under(&program, &site.config, &site.state));
    assert_eq!(shadows(), 1);
    assert_eq!(daemon.stop(), 0);
    assert_eq!(shadows(), 0);
}

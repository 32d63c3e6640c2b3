//! The systemd unit: what attestation needs stays open, and everything else stays closed.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// Lines of `[Service]` without which attestation is blind or the daemon can't work.
const OPEN: [(&str, &str); 8] = [
    ("AmbientCapabilities", "CAP_SYS_PTRACE"),
    ("PrivateUsers", "no"),
    ("ProcSubset", "all"),
    ("ProtectProc", "default"),
    ("RuntimeDirectory", "hotwork"),
    ("RuntimeDirectoryMode", "0755"),
    ("StateDirectory", "hotwork"),
    ("Type", "notify"),
];

/// Lines of `[Service]` that close something, or bound it.
const CLOSED: [(&str, &str); 31] = [
    ("CapabilityBoundingSet", "CAP_SYS_PTRACE"),
    ("Group", "hotwork"),
    ("KeyringMode", "private"),
    ("LimitCORE", "0"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("MemorySwapMax", "0"),
    ("NoNewPrivileges", "yes"),
    ("NotifyAccess", "main"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectSystem", "strict"),
    ("RemoveIPC", "yes"),
    ("Restart", "on-failure"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("StateDirectoryMode", "0700"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallErrorNumber", "EPERM"),
    ("TasksMax", "256"),
    ("UMask", "0077"),
    ("User", "hotwork"),
];

/// Settings that hide processes, their users or their executables from the broker, in whatever value.
const BLINDING: [&str; 6] =
    ["DynamicUser", "InaccessiblePaths", "PrivatePIDs", "RootDirectory", "RootImage", "TemporaryFileSystem"];

fn text() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd/hotworkd.service")).unwrap()
}

/// The values of each key of `[Service]`, in order.
fn service(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let after = text.split_once("[Service]\n").unwrap().1;
    let lines = after.lines().take_while(|line| !line.starts_with('['));
    for (key, value) in lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')) {
        found.entry(key).or_default().push(value);
    }
    found
}

/// What is wrong with a unit.
fn findings(text: &str) -> Vec<String> {
    let service = service(text);
    let fixed = OPEN.iter().chain(&CLOSED).filter(|(key, value)| service.get(key) != Some(&vec![*value]));
    let mut found: Vec<String> = fixed.map(|(key, value)| format!("`{key}={value}` is not there")).collect();
    let blinding = BLINDING.iter().filter(|key| service.contains_key(*key));
    found.extend(blinding.map(|key| format!("`{key}` blinds attestation")));
    let calls = service.get("SystemCallFilter").cloned().unwrap_or_default();
    let (allowed, denied): (Vec<&str>, Vec<&str>) = calls.iter().partition(|calls| !calls.starts_with('~'));
    if allowed != ["@system-service"] {
        found.push(format!("system calls: {allowed:?}"));
    }
    for call in ["@privileged", "@debug", "ptrace", "process_vm_readv", "process_vm_writev"] {
        let is_denied =
            denied.iter().any(|calls| calls.trim_start_matches('~').split(' ').any(|one| one == call));
        if !is_denied {
            found.push(format!("`{call}` is not denied, and the capability to trace is there"));
        }
    }
    found
}

#[test]
fn the_unit_leaves_open_what_attestation_reads_and_closes_the_rest() {
    assert_eq!(findings(&text()), Vec::<String>::new());
}

#[test]
fn every_line_that_the_unit_is_held_to_is_missed_when_it_is_changed_or_gone() {
    let good = text();
    for (key, value) in OPEN.iter().chain(&CLOSED) {
        let line = format!("\n{key}={value}\n");
        assert_eq!(findings(&good.replace(&line, "\n")).len(), 1, "without {key}");
        assert_eq!(findings(&good.replace(&line, &format!("\n{key}=other\n"))).len(), 1, "another {key}");
        assert_eq!(
            findings(&good.replace(&line, &format!("{line}{key}=other\n"))).len(),
            1,
            "a second {key}"
        );
    }
    for key in BLINDING {
        let blind = good.replace("\nUser=hotwork\n", &format!("\nUser=hotwork\n{key}=yes\n"));
        assert_eq!(findings(&blind).len(), 1, "{key}");
    }
    assert!(!findings(&good.replace(" ptrace ", " ")).is_empty());
}

#[test]
fn the_sockets_are_in_the_directory_that_the_unit_makes_for_everybody() {
    let text = text();
    let service = service(&text);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("hotworkd.toml");
    fs::write(&config, "trust_domain = \"example.org\"\nissuer = \"https://hotwork.example\"\n").unwrap();
    let config = hotwork::config::Config::load(&config).unwrap_or_else(|bad| panic!("{bad}"));
    // Break-glass is beside the admin socket: `StateDirectoryMode=0700` would keep responders out.
    for socket in [&config.agent_socket, &config.admin_socket] {
        let parent = socket.path.parent().unwrap();
        assert_eq!(parent.to_str().unwrap(), format!("/run/{}", service["RuntimeDirectory"][0]));
    }
    assert_eq!(config.admin_socket.mode & 0o060, 0o060, "the group `hotwork` reaches it");
}

#[test]
fn systemd_itself_finds_nothing_wrong() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED systemd-analyze: it is not installed, and systemd has not looked at the unit");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotworkd.service");
    let unit = text().replace("/usr/bin/hotworkd ", &format!("{} ", env!("CARGO_BIN_EXE_hotworkd")));
    fs::write(&path, unit).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&path).output().unwrap();
        (output.status.success(), crate::support::text(&output))
    };
    let (holds, said) = run(&["verify", "--man=no"]);
    assert!(holds && !said.contains("hotworkd.service:"), "{said}");
    let (holds, said) = run(&["security", "--offline=yes", "--no-pager", "--threshold=30"]);
    assert!(holds, "{said}");
}

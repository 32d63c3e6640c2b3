//! Callers who are no operator at all, at the doors that are for operators: they get nothing and leave nothing in the log,
//! which they could fill; they are counted, and now and then the daemon's own log says who it was (promise P9).

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::scene::Scene;
use crate::support::{code, http, text};

/// Ids that no account has.
const USER: u32 = 54_321;
const GROUP: u32 = 54_322;

/// A scene whose sockets everybody reaches, and a `hotwork` that everybody can run.
struct Street {
    scene: Scene,
    own: PathBuf,
}

impl Street {
    fn new() -> Self {
        let scene = Scene::with(|dir| {
            let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            let run = dir.join("run");
            fs::create_dir(&run).unwrap();
            open(dir);
            open(&run);
            let copy = run.join("hotwork");
            fs::copy(env!("CARGO_BIN_EXE_hotwork"), &copy).unwrap();
            open(&copy);
            let config = dir.join("config/hotworkd.toml");
            let before = fs::read_to_string(&config).unwrap();
            let moved =
                before.replace(&format!("{}/state/a", dir.display()), &format!("{}/a", run.display()));
            let wide = moved.replace(".sock\"\n", ".sock\"\nmode = \"0666\"\n");
            fs::write(&config, wide).unwrap();
        });
        let own = scene.dir.path().join("run");
        Self { scene, own }
    }

    /// Somebody else's process tries this at that socket.
    fn tries(&self, socket: &str, line: &[&str]) -> Output {
        let mut command = Command::new(self.own.join("hotwork"));
        command.args(line).env_clear().stdin(Stdio::null()).current_dir("/").uid(USER).gid(GROUP);
        command.env("HOTWORK_ADMIN_ENDPOINT", format!("unix://{}", self.own.join(socket).display()));
        command.output().unwrap()
    }

    /// How often it was counted at a listener, for this reason.
    fn counted(&self, listener: &str, reason: &str) -> u64 {
        let (_, metrics) = http(&self.scene.daemon().env["HOTWORK_OPS"], "GET", "/metrics");
        let begin =
            format!("hotwork_operators_rejected_total{{listener=\"{listener}\",reason=\"{reason}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&begin)).map_or(0, |count| count.parse().unwrap())
    }

    /// The lines of the daemon's log about those at a listener.
    fn said(&self, listener: &str) -> Vec<serde_json::Value> {
        let log = self.scene.daemon().log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let about = |line: &serde_json::Value| {
            let message = line["message"].as_str().unwrap_or_default();
            message.starts_with("an operator's call of somebody who is none, ")
                && line["listener"] == listener
        };
        lines.filter(about).collect()
    }

    /// How many entries the log has.
    fn entries(&self) -> u64 {
        let tail = self.scene.daemon().json(&["audit", "tail", "-n", "1"]);
        tail["logSize"].as_str().unwrap().parse().unwrap()
    }
}

#[test]
fn who_is_no_operator_gets_nothing_is_counted_and_said_and_fills_no_log() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: who_is_no_operator_gets_nothing needs root, for being somebody else");
        return;
    }
    let street = Street::new();
    let session = street.scene.opened("open", "node-repair");
    let token = street.scene.token(&session);
    let (before, started) = (street.entries(), Instant::now());
    let close = ["break-glass", "close", &session, "--reason", "r"];
    let review = ["break-glass", "review", &session, "--finding", "fine"];
    let open = ["break-glass", "open", "freeze", "--reason", "r", "--ticket", "T-1"];
    let list = ["break-glass", "list"];
    let lock = ["lock", "--all", "--message", "x"];
    let revoke = ["revoke", "--all", "--reason", "r", "--yes"];
    let tail = ["audit", "tail"];
    let responders: [&[&str]; 4] = [&close, &review, &open, &list];
    let operators: [&[&str]; 7] = [&close, &review, &open, &list, &lock, &revoke, &tail];
    for (listener, socket, lines) in
        [("break_glass", "break-glass.sock", &responders[..]), ("admin", "admin.sock", &operators[..])]
    {
        for line in lines {
            let refused = street.tries(socket, line);
            assert_eq!(code(&refused), 4, "{listener} {line:?}: {}", text(&refused));
            assert!(text(&refused).contains("is no operator"), "{listener} {line:?}: {}", text(&refused));
        }
        let counted = street.counted(listener, "not-an-operator");
        assert!(counted >= lines.len() as u64, "{listener}: {counted}");
        let said = street.said(listener);
        let first = said.first().unwrap_or_else(|| panic!("{}", street.scene.daemon().log()));
        assert_eq!((&first["level"], &first["reason"]), (&"WARN".into(), &"not-an-operator".into()));
        assert_eq!(first["rpc"], "hotwork.v1.BreakGlassService/Close", "{first}");
        assert!(first["caller"].as_str().unwrap().starts_with("uid 54321, pid "), "{first}");
        // One a second, however many there are.
        assert!(said.len() as u64 <= started.elapsed().as_secs() + 1, "{said:?}");
    }
    // At the agents' door nobody is an operator: it has no such service.
    let wrong = street.tries("agent.sock", &close);
    assert_ne!(code(&wrong), 0, "{}", text(&wrong));
    assert_eq!(street.counted("agent", "not-served-here"), 1);
    assert_eq!(street.said("agent").len(), 1);

    assert_eq!(street.entries(), before + 1, "the look at the log, and nothing of theirs");
    assert_eq!(street.scene.state(&session), "SESSION_STATE_OPEN");
    assert!(street.scene.is_live(&token));
    assert!(street.scene.daemon().json(&["lock", "list"])["locks"].as_array().is_none_or(Vec::is_empty));
    // Operators are counted nowhere here, whatever they may not.
    let counted = street.counted("admin", "not-an-operator");
    let unknown = ["break-glass", "close", "0193595e-7c00-7000-8000-000000000000", "--reason", "r"];
    street.scene.refuses(street.scene.run(&unknown), "not-found");
    assert_eq!(street.counted("admin", "not-an-operator"), counted);
}

//! `docs/recipes/postgresql.md` as root types it, on a host of its own: who is made, what is installed, and how the unit runs it.
//! Only systemd is not there: its unit is read here as it would read it.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::database::{Database, Reaper, Session, deployed, programs, run};
use crate::host::Host;
use crate::prompt::held;
use crate::recipe::{block_below, moved};
use crate::scene::Scene;
use crate::support::eventually;
use crate::units::Unit;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// systemd's part: the broker is told to reload as its unit says, and what else was asked of it is noted.
const SYSTEMCTL: &str = r#"
systemctl() { echo "systemctl $*" >>"$SAID"; case "$*" in "reload hotworkd") kill -HUP "$HOTWORKD" ;; esac; }
"#;

/// The page's commands, with those before them that `deploy/README.md` has for the broker's own user.
fn typed(scene: &Scene, database: &Database<'_>, host: &Host) -> String {
    let user = "install -m 0644 deploy/systemd/hotwork.sysusers.conf /usr/lib/sysusers.d/hotwork.conf\n";
    let readme = deployed("README.md");
    assert!(
        readme.contains("deploy/systemd/hotwork.sysusers.conf /usr/lib/sysusers.d/hotwork.conf"),
        "{readme}"
    );
    let page = block_below("postgresql.md", "## What PostgreSQL can't do", "sh");
    // The broker runs in this group: its unit says so.
    let group = "chgrp hotwork /run/hotwork/admin.sock\n";
    let script = format!("set -eu\ncd '{ROOT}'\n{SYSTEMCTL}{user}{page}{group}");
    let mut shell = host.command(&["bash", "-c", &script]);
    shell.env("HOTWORKD", scene.daemon.pid().to_string()).env("SAID", scene.path("systemctl"));
    // There may be another server on the machine, and this one has a port of its own.
    shell
        .env("PGHOST", "/run/postgresql")
        .env("PGPORT", database.port.to_string())
        .env("PATH", database.path());
    run(&mut shell);
    std::fs::read_to_string(scene.path("systemctl")).unwrap()
}

/// Starts a unit's program as its user, with its variables.
fn start(unit: &Unit, scene: &Scene, database: &Database<'_>, host: &Host) -> Reaper {
    let user = unit.one("User");
    let port = format!("PGPORT={}", database.port);
    let path = format!("PATH={}", database.path());
    let mut line = vec!["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--", "env", "-i"];
    line.extend([path.as_str(), &port]);
    let variables = unit.all("Environment");
    line.extend(variables.iter().flat_map(|line| line.split(' ')));
    line.push(unit.one("ExecStart"));
    Reaper::start(&mut host.command(&line), &scene.path("reaper"))
}

/// The page's own command of the agent, whose `psql` stays open.
fn agent(scene: &Scene, database: &Database<'_>) -> Session {
    let page = block_below("postgresql.md", "The agent, from where", "sh");
    let here = format!("host=git.example.org hostaddr=127.0.0.1 port={}", database.port);
    let authority = scene.path("db/api-ca.pem").display().to_string();
    let page = moved(
        &page,
        &[("host=db.example.org", &here), ("db-ca.pem", &authority), ("'psql ", "'exec psql -XAtq ")],
    );
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {page}")]).envs(&scene.daemon.env).env("PATH", database.path());
    Session::of(&mut command)
}

#[test]
fn the_page_as_root_types_it_makes_a_reaper_that_works() {
    let Some(bin) = programs() else { return };
    let scene = Scene::start();
    let Some(host) = Host::start(&scene) else { return };
    let database = Database::start(bin, &scene, Some(&host));
    let asked = typed(&scene, &database, &host);
    assert_eq!(
        asked,
        "systemctl reload hotworkd\nsystemctl daemon-reload\nsystemctl enable --now hotwork-reaper\n"
    );
    // It is nobody on the machine itself.
    let outside = Command::new("id").arg("hotwork-reaper").stderr(Stdio::null()).output().unwrap();
    assert!(!outside.status.success(), "{outside:?}");
    let port = database.port.to_string();
    let as_reaper = |line: &[&str]| {
        let user =
            ["setpriv", "--reuid", "hotwork-reaper", "--regid", "hotwork-reaper", "--init-groups", "--"];
        let mut command = host.command(&[&user[..], line].concat());
        command.env("HOTWORK_ADMIN_ENDPOINT", "unix:///run/hotwork/admin.sock").env("PATH", database.path());
        command.env("PGHOST", "/run/postgresql").env("PGPORT", &port).output().unwrap()
    };
    let sees = || as_reaper(&["hotwork", "credential", "list", "--all"]).status.success();
    eventually("the broker has loaded the entry", sees);
    let installed = run(&mut host.command(&["cat", "/etc/systemd/system/hotwork-reaper.service"]));
    let reaper = start(&Unit::of(&installed), &scene, &database, &host);
    let (good, id) = scene.issue_certificate("good");
    let (mut session, mut other) = (database.session(&good), agent(&scene, &database));
    assert!(session.lives() && other.lives(), "{}", reaper.complaints());
    let revoked = scene.revoked(&id);
    let felt = session.end().unwrap_or_else(|| panic!("{}", reaper.complaints())).duration_since(revoked);
    held("PostgreSQL with the reaper's unit", &[felt], Duration::from_secs(3));
    assert!(other.lives(), "{}", reaper.complaints());
    scene.revoke(&["--all"]);
    assert!(other.end().is_some(), "{}", reaper.complaints());
    assert_eq!(reaper.ended().lines().count(), 2, "{}", reaper.ended());
    assert_eq!(reaper.complaints(), "");
    // It sees, and does nothing else.
    assert!(!as_reaper(&["hotwork", "revoke", "--all", "--reason", "r", "--yes"]).status.success());
    assert!(as_reaper(&["psql", "-U", "hotwork_reaper", "-c", "select 1", "postgres"]).status.success());
    for role in ["postgres", "reader"] {
        assert!(!as_reaper(&["psql", "-U", role, "-c", "select 1", "postgres"]).status.success(), "{role}");
    }
}

//! The units of `deploy/` and the pages that install them: each user, file and place that one names, the other makes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use hotwork::config::registry;
use hotwork::domain::agent::Day;
use hotwork::domain::operator::Role;

use crate::database::deployed;
use crate::recipe::{block, block_below};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// `[Service]` of a unit.
pub struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    /// The text of one.
    pub fn of(text: &str) -> Self {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let lines =
            text.split_once("[Service]\n").unwrap().1.lines().take_while(|line| !line.starts_with('['));
        for (key, value) in
            lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
        {
            found.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        Self(found)
    }

    /// The values of a key.
    pub fn all(&self, key: &str) -> &[String] {
        self.0.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The value of a key that stands once.
    pub fn one(&self, key: &str) -> &str {
        let [value] = self.all(key) else { panic!("{key}: {:?}", self.all(key)) };
        value
    }

    /// A variable that it sets.
    fn variable(&self, name: &str) -> &str {
        let mut words = self.all("Environment").iter().flat_map(|line| line.split(' '));
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).unwrap()
    }
}

/// A unit, its folder below `deploy/`, and what the page of that folder types.
struct Deployed {
    name: &'static str,
    folder: &'static str,
    typed: String,
}

/// Every unit there is, or the test fails.
fn all() -> [Deployed; 2] {
    let readme = deployed("README.md");
    let page = block_below("postgresql.md", "## What PostgreSQL can't do", "sh");
    [
        Deployed { name: "hotwork-reaper", folder: "postgresql", typed: page },
        Deployed { name: "hotworkd", folder: "systemd", typed: readme },
    ]
}

/// The files of a folder below `deploy/`.
fn files(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(Path::new(ROOT).join("deploy").join(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Where a command of the page puts this file, and where in the page that stands.
fn installed(typed: &str, file: &str) -> Option<(usize, PathBuf)> {
    let mut at = 0;
    for line in typed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let (Some(&"install"), Some((target, sources))) = (words.first(), words.split_last())
            && sources.contains(&file)
        {
            let whole = if target.ends_with('/') || target.ends_with("bin") {
                Path::new(target).join(Path::new(file).file_name().unwrap())
            } else {
                PathBuf::from(target)
            };
            return Some((at, whole));
        }
        at += line.len() + 1;
    }
    None
}

/// The lines of a sysusers file, as words.
fn users(text: &str) -> Vec<Vec<&str>> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn each_unit_runs_as_a_user_that_its_page_makes_and_what_its_page_installs() {
    for Deployed { name, folder, typed } in all() {
        let unit_file = format!("deploy/{folder}/{name}.service");
        let unit = Unit::of(&deployed(&format!("{folder}/{name}.service")));
        let (_, place) =
            installed(&typed, &unit_file).unwrap_or_else(|| panic!("{unit_file} is not installed"));
        assert_eq!(place, PathBuf::from(format!("/etc/systemd/system/{name}.service")));
        let started = typed
            .find(&format!("systemctl enable --now {name}"))
            .or_else(|| typed.find(&format!("systemctl daemon-reload && systemctl enable --now {name}")));
        let started = started.unwrap_or_else(|| panic!("{name} is not started"));
        // Its user.
        let sysusers: Vec<String> =
            files(folder).into_iter().filter(|file| file.ends_with(".sysusers.conf")).collect();
        let [sysusers] = &sysusers[..] else { panic!("{folder}: {sysusers:?}") };
        let text = deployed(&format!("{folder}/{sysusers}"));
        let makes = |kind: &str, name: &str| {
            users(&text).iter().any(|line| line.first() == Some(&kind) && line.get(1) == Some(&name))
        };
        assert!(makes("u", unit.one("User")), "{name}: nobody makes {}", unit.one("User"));
        for group in unit.all("Group") {
            // `u` makes a group of the same name.
            assert!(makes("u", group) || makes("g", group), "{name}: nobody makes the group {group}");
        }
        let (made, place) = installed(&typed, &format!("deploy/{folder}/{sysusers}")).unwrap();
        assert_eq!(place.parent(), Some(Path::new("/usr/lib/sysusers.d")));
        assert!(text.contains(&format!("# Installed as {}\n", place.display())), "{text}");
        let run = made + typed[made..].find("\nsystemd-sysusers").expect("systemd-sysusers is run");
        assert!(run < started, "{name}: its user is made too late");
        // Its programs.
        for key in ["ExecStart", "ExecStartPre"] {
            for line in unit.all(key) {
                let program = line.trim_start_matches('-').split(' ').next().unwrap();
                let file = Path::new(program).file_name().unwrap().to_str().unwrap();
                let ours = [format!("deploy/{folder}/{file}"), format!("target/release/{file}")];
                let place = ours.iter().find_map(|file| installed(&typed, file));
                let (at, place) = place.unwrap_or_else(|| panic!("{name}: nobody installs {program}"));
                assert_eq!(place, Path::new(program));
                assert!(at < started, "{name}: {program} is installed too late");
            }
        }
        // And nothing lies there that the page forgets.
        for file in files(folder) {
            assert!(typed.contains(&format!("deploy/{folder}/{file}")), "{folder}/{file} is on no page");
        }
    }
    let folders: Vec<String> = files("").into_iter().filter(|name| name != "README.md").collect();
    assert_eq!(folders, ["postgresql", "systemd"], "a folder without its page");
}

#[test]
fn systemd_makes_the_users_and_puts_the_reaper_into_the_group_of_the_admin_socket() {
    if Command::new("systemd-sysusers").arg("--version").output().is_err() {
        eprintln!("SKIPPED systemd-sysusers: it is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("systemd-sysusers");
    command.arg("--root").arg(dir.path());
    std::fs::create_dir(dir.path().join("etc")).unwrap();
    for (file, place) in [
        ("systemd/hotwork.sysusers.conf", "hotwork.conf"),
        ("postgresql/hotwork-reaper.sysusers.conf", "hotwork-reaper.conf"),
    ] {
        std::fs::create_dir_all(dir.path().join("usr/lib/sysusers.d")).unwrap();
        std::fs::write(dir.path().join("usr/lib/sysusers.d").join(place), deployed(file)).unwrap();
    }
    let said = command.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join("etc").join(name)).unwrap();
    let reaper = Unit::of(&deployed("postgresql/hotwork-reaper.service"));
    let broker = Unit::of(&deployed("systemd/hotworkd.service"));
    for user in [reaper.one("User"), broker.one("User")] {
        assert!(
            read("passwd").lines().any(|line| line.starts_with(&format!("{user}:"))),
            "{}",
            read("passwd")
        );
    }
    let groups = read("group");
    let group = groups.lines().find(|line| line.starts_with(&format!("{}:", broker.one("Group")))).unwrap();
    assert_eq!(group.rsplit(':').next(), Some(reaper.one("User")), "{groups}");
}

#[test]
fn the_reaper_is_one_and_the_same_to_the_unit_the_registry_and_the_database() {
    let unit = Unit::of(&deployed("postgresql/hotwork-reaper.service"));
    let (user, role) = (unit.one("User"), unit.variable("PGUSER"));
    // The registry takes the page's entry, beside an example's.
    let typed = block_below("postgresql.md", "## What PostgreSQL can't do", "sh");
    let (_, entry) = typed.split_once("cat >>/etc/hotwork/operators.toml <<EOF\n").unwrap();
    let entry = entry.split_once("\nEOF\n").unwrap().0;
    let asked = format!("$(id -u {user})");
    assert!(entry.contains(&asked), "{entry}");
    let mut texts = BTreeMap::new();
    let example = Path::new(ROOT).join("config/examples/coding");
    for name in ["apis/repo.toml", "agents/coder.toml", "policies/coding.cedar", "operators.toml"] {
        texts.insert(name.to_owned(), std::fs::read_to_string(example.join(name)).unwrap());
    }
    texts.get_mut("operators.toml").unwrap().push_str(&format!("{}\n", entry.replace(&asked, "998")));
    let today = Day(20_000);
    let issuer = "https://hotwork.example".parse().unwrap();
    let loaded = registry::parse(texts, &"example.org".parse().unwrap(), &issuer, today);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    let operators = loaded.registry.operators();
    let reaper = operators.iter().find(|operator| operator.uid == Some(998)).unwrap();
    assert_eq!((reaper.name.as_str(), reaper.roles.iter().collect::<Vec<_>>()), (user, vec![&Role::Viewer]));
    // The socket that it asks is where the broker has it when nothing is said.
    let default = std::fs::read_to_string(Path::new(ROOT).join("config/hotworkd.toml")).unwrap();
    let socket = unit.variable("HOTWORK_ADMIN_ENDPOINT").strip_prefix("unix://").unwrap();
    assert!(default.contains(&format!("[admin_socket]\npath = \"{socket}\"")), "{socket}");
    // The database takes its system's user for the role, and the role is made.
    let words =
        |text: &str| text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    let map: Vec<Vec<String>> = words(&block("postgresql.md", "text"));
    let hba: Vec<Vec<String>> = words(&block("postgresql.md", "conf"));
    assert!(map.iter().any(|line| line[..] == ["reaper", user, role]), "{map:?}");
    assert!(hba.iter().any(|line| line[..] == ["local", "all", role, "peer", "map=reaper"]), "{hba:?}");
    assert!(deployed("postgresql/reaper.sql").contains(&format!("create role {role} login;")));
    // Whoever the map lets in is among the roles that need a certificate.
    let sql = block("postgresql.md", "sql");
    let agent = &map.iter().find(|line| line[0] == "hotwork").unwrap()[2];
    assert!(sql.contains(&format!("create role {agent} login in role agents;")), "{sql}");
    let agents: Vec<&Vec<String>> = hba.iter().filter(|line| line[2] == "+agents").collect();
    assert_eq!((agents[0][0].as_str(), agents[0][4].as_str()), ("hostssl", "cert"));
    assert_eq!((agents[1][0].as_str(), agents[1][4].as_str()), ("host", "reject"));
    // And the agent's own command comes from where that line lets it.
    assert_eq!(agents[0][3], "all");
    let command = block_below("postgresql.md", "The agent, from where", "sh");
    assert!(command.contains(&format!("user={agent} ")), "{command}");
}

#[test]
fn systemd_itself_finds_nothing_wrong_with_the_reaper_s_unit() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("SKIPPED systemd-analyze: it is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hotwork-reaper.service");
    let program = Path::new(ROOT).join("deploy/postgresql/hotwork-reaper").display().to_string();
    let unit =
        deployed("postgresql/hotwork-reaper.service").replace("/usr/local/bin/hotwork-reaper", &program);
    std::fs::write(&path, unit).unwrap();
    let said = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let text = crate::support::text(&said);
    assert!(said.status.success() && !text.contains("hotwork-reaper.service:"), "{text}");
}

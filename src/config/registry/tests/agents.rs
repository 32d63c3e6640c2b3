//! What an agent's file says that only the daemon's own file tells to be wrong.

use super::problems::{AGENT, good};
use super::*;

#[test]
fn no_agent_is_known_by_a_name_of_our_own_listeners() {
    let dir = good();
    let names = "identity_certificate = true\nserver_names = [\"edge.example\", \"broker.example\"]\n";
    put(dir.path(), "agents/me.toml", format!("{names}{AGENT}"));
    let loaded = load_dir(dir.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let said = |own: &[&str]| -> Vec<String> {
        let own: Vec<ServerName> = own.iter().map(|name| name.parse().unwrap()).collect();
        let place = format!("{}/", dir.path().display());
        loaded.misfits(&[], &own).iter().map(|one| one.to_string().replace(&place, "")).collect()
    };
    assert_eq!(said(&[]), Vec::<String>::new());
    assert_eq!(said(&["localhost", "10.0.0.1", "example"]), Vec::<String>::new());
    let one = |name: &str| {
        format!(
            "agents/me.toml:2:1: server_names: a listener of this broker has this name, and the agent could answer in \
             its place: `{name}`"
        )
    };
    assert_eq!(said(&["localhost", "broker.example"]), [one("broker.example")]);
    assert_eq!(said(&["broker.example", "edge.example"]), [one("edge.example"), one("broker.example")]);
}

#[test]
fn no_two_tenants_have_servers_of_one_name() {
    let entry = |name: &str, tenant: &str, uid: u32, server: &str| {
        let agent = AGENT.replace("\"me\"", &format!("\"{name}\"")).replace("1000", &uid.to_string());
        let agent = agent.replace("\"default\"", &format!("\"{tenant}\""));
        format!("identity_certificate = true\nserver_names = [\"{server}\"]\n{agent}")
    };
    let dir = good();
    let errors = |dir: &tempfile::TempDir| -> Vec<String> {
        lines(dir.path()).into_iter().filter(|line| line.starts_with("error: agents/")).collect()
    };
    put(dir.path(), "agents/a.toml", entry("a", "default", 1, "git.example"));
    put(dir.path(), "agents/b.toml", entry("b", "default", 2, "git.example"));
    put(dir.path(), "agents/c.toml", entry("c", "other", 3, "www.example"));
    assert_eq!(errors(&dir), Vec::<String>::new(), "servers of one tenant can share one");
    put(dir.path(), "agents/c.toml", entry("c", "other", 3, "git.example"));
    let expected = "error: agents/c.toml:2:1: server_names: agent `a` of tenant `default` has the same name: either could \
                    answer in the other's place: `git.example`";
    assert_eq!(errors(&dir), [expected]);
}

//! Routes of APIs: what is read, and every kind of problem with its place.

use super::problems::good;
use super::*;

const FILE: &str = "apis/demo.toml";

/// The problems of the good API with these lines after its action, and the registry when there is none.
fn with(more: &str) -> Result<crate::config::registry::Loaded, Vec<String>> {
    let dir = good();
    let path = dir.path().join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}{more}")).unwrap();
    load_dir(dir.path()).map_err(|_| lines(dir.path()))
}

#[track_caller]
fn problem(more: &str, expected: &str) {
    assert_eq!(with(more).err(), Some(vec![format!("error: {FILE}:{expected}")]), "{more}");
}

#[test]
fn routes_are_read_and_map_requests() {
    let loaded = with("[[action.route]]\nmethod = \"GET\"\npath = \"/demo/{name}\"\n[[action.route]]\nmethod = \"GET\"\npath = \"/v2/demo/{name}\"\nquery = true\n").unwrap();
    let entry = &loaded.registry.apis()[0].enforcement;
    let resource = |target: &str| entry.map("GET", target).map(|mapped| mapped.resource.to_string()).ok();
    assert_eq!(resource("/demo/hello").as_deref(), Some("demo/hello"));
    assert_eq!(resource("/demo/hello?x=1"), None);
    assert_eq!(resource("/v2/demo/hello?x=1").as_deref(), Some("demo/hello"));
    // The audience is an origin.
    assert_eq!(entry.url("/demo/hello?x=1").as_deref(), Some("https://demo.example/demo/hello"));
    assert!(with("").unwrap().registry.apis()[0].enforcement.routes.is_empty());
}

#[test]
fn problems_of_routes() {
    let route = |path: &str| format!("[[action.route]]\nmethod = \"GET\"\npath = \"{path}\"\n");
    problem(
        &route("/demo/{thing}"),
        "17:1: action[0].route[0].path: the resource's `{name}` is not in the path",
    );
    problem(
        &route("/demo/{name}/{thing}"),
        "17:1: action[0].route[0].path: `{thing}` is no part of the resource and no parameter of the action",
    );
    problem(
        &(route("/demo/{name}") + &route("/{name}/hello")),
        "20:1: action[0].route[1].path: a request could match this route and the one in line 17",
    );
    problem(
        "[[action.route]]\nmethod = \"GET\"\n",
        "15:1: action[0].route[0].path: missing; it has no default",
    );
    problem(
        &route("/demo/{name}").replace("GET", "get"),
        "16:10: action[0].route[0].method: expected an HTTP method in capitals, such as `GET`, 16 letters at most, got `get`",
    );
    problem(
        &(route("/demo/{name}") + "host = \"x\"\n"),
        "18:1: action[0].route[0].host: unknown key, expected one of `method`, `path`, `query`",
    );
    problem(
        &route("/demo/../{name}"),
        "17:8: action[0].route[0].path: expected a path whose segments are fixed texts or `{name}`, each name once, such as `/repos/{owner}/{name}`, got `/demo/../{name}`",
    );
}

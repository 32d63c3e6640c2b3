//! Paths with one spelling, routes that don't overlap, and what a request becomes.

use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::domain::catalogue::{Access, Rate, Tier};
use crate::domain::parameter::ParameterRule;
use crate::domain::time::Ttl;

fn action(name: &str, resource: &str, parameters: Vec<ParameterRule>) -> Arc<Action> {
    Arc::new(Action {
        name: name.parse().unwrap(),
        description: "d".into(),
        access: Access::Write,
        resource: resource.parse().unwrap(),
        parameters,
        ttl_max: Ttl::DEFAULT,
        tier: Tier::Auto,
        approvals: std::num::NonZeroU8::MIN,
        rate: Rate { count: NonZeroU32::MIN, seconds: NonZeroU32::MIN },
        single_use: false,
        max_calls: None,
    })
}

fn amount() -> ParameterRule {
    let kind = ParameterKind::Integer { min: 0, max: 100 };
    ParameterRule { name: "amount".parse().unwrap(), required: true, kind }
}

fn route(method: &str, path: &str, action: &Arc<Action>) -> Result<Route, BadRoute> {
    let target = Target::of(action, "acme".parse().unwrap());
    Route::new(method.parse().unwrap(), path.parse().unwrap(), false, target)
}

fn one(route: Route) -> Enforcement {
    Enforcement { origin: None, routes: vec![route] }
}

#[test]
fn a_request_becomes_its_action_and_resource() {
    let open = action("repo.pull.open", "repo/{owner}/{name}", vec![]);
    let entry = one(route("POST", "/repos/{owner}/{name}/pulls", &open).unwrap());
    let mapped = entry.map("POST", "/repos/acme/site/pulls").unwrap();
    assert_eq!((mapped.action, mapped.resource.as_str()), (open.name.clone(), "repo/acme/site"));
    for (method, target, why) in [
        ("GET", "/repos/acme/site/pulls", Unmapped::Unknown),
        ("post", "/repos/acme/site/pulls", Unmapped::Unknown),
        ("POST", "/repos/acme/site", Unmapped::Unknown),
        ("POST", "/repos/acme/site/pulls/1", Unmapped::Unknown),
        ("POST", "/repos/acme/site/pulls?", Unmapped::Query),
        ("POST", "/repos/acme/site/pulls?a=/../b", Unmapped::Query),
    ] {
        assert_eq!(entry.map(method, target), Err(why), "{method} {target}");
    }
}

#[test]
fn a_path_with_a_second_spelling_matches_nothing() {
    let read = action("repo.file.read", "repo/{owner}/{name}", vec![]);
    let entry = one(route("GET", "/repos/{owner}/{name}", &read).unwrap());
    assert!(entry.map("GET", "/repos/acme/site").is_ok());
    for target in [
        "/repos/acme/site/",
        "//repos/acme/site",
        "/repos//site",
        "/repos/acme/../site",
        "/repos/acme/./site",
        "/./repos/acme/site",
        "/repos/acme/..",
        "/repos/acme%2fsite/x",
        "/repos/acme/si%74e",
        "/repos/acme/site%00",
        "/repos/acme\\site/x",
        "/repos/acme/site;a=b",
        "/repos/acme/site#x",
        "/repos/acme/ site",
        "/repos/acme/sité",
        "repos/acme/site",
        "https://other.example/repos/acme/site",
        "*",
        "",
    ] {
        assert_eq!(entry.map("GET", target), Err(Unmapped::Path), "{target}");
    }
    let long = |n: usize| format!("/repos/acme/{}", "a".repeat(n - "/repos/acme/".len()));
    assert_ne!(entry.map("GET", &long(PATH_BYTES_MAX)), Err(Unmapped::Path));
    assert_eq!(entry.map("GET", &long(PATH_BYTES_MAX + 1)), Err(Unmapped::Path));
}

#[test]
fn the_tenant_is_the_api_s_own_whatever_the_path_says() {
    let read = action("crm.account.read", "tenant/{tenant}/account/{account}", vec![]);
    let entry = one(route("GET", "/accounts/{account}", &read).unwrap());
    assert_eq!(entry.map("GET", "/accounts/7").unwrap().resource.as_str(), "tenant/acme/account/7");
    let entry = one(route("GET", "/t/{tenant}/accounts/{account}", &read).unwrap());
    assert!(entry.map("GET", "/t/acme/accounts/7").is_ok());
    assert_eq!(entry.map("GET", "/t/globex/accounts/7"), Err(Unmapped::Unknown));
}

#[test]
fn parameters_in_a_path_have_one_spelling_too() {
    let scale = action("infra.service.scale", "service/{name}", vec![amount()]);
    let entry = one(route("PUT", "/services/{name}/replicas/{amount}", &scale).unwrap());
    let mapped = entry.map("PUT", "/services/web/replicas/8").unwrap();
    assert_eq!(mapped.parameters[0].value, Value::Integer(8.try_into().unwrap()));
    for amount in ["08", "+8", "8.0", "eight", "9007199254740992", "99999999999999999999"] {
        let target = format!("/services/web/replicas/{amount}");
        assert_eq!(entry.map("PUT", &target), Err(Unmapped::Unknown), "{amount}");
    }
}

#[test]
fn a_route_gives_what_its_action_needs_and_no_more() {
    let read = action("a.b", "x/{name}", vec![]);
    assert_eq!(route("GET", "/x", &read), Err(BadRoute::Missing("name".into())));
    assert_eq!(route("GET", "/x/{name}/{other}", &read), Err(BadRoute::Capture("other".into())));
    assert_eq!(route("GET", "/{tenant}/{name}", &read), Err(BadRoute::Capture("tenant".into())));
    let pay = action("a.c", "x/{name}", vec![amount()]);
    assert_eq!(route("GET", "/x/{name}", &pay), Err(BadRoute::Parameter("amount".parse().unwrap())));
    for bad in ["x", "", "/x/", "/{x", "/x}", "/{}", "/{X}", "/a{x}", "/{x}/{x}", "/%20", "/..", "/x?y", "/*"]
    {
        assert!(bad.parse::<PathPattern>().is_err(), "{bad}");
    }
}

#[test]
fn routes_overlap_when_one_request_could_match_both() {
    let read = action("a.b", "x/{name}", vec![]);
    let pair = |a: &str, b: &str| {
        let (a, b) = (route("GET", a, &read).unwrap(), route("GET", b, &read).unwrap());
        assert_eq!(a.overlaps(&b), b.overlaps(&a));
        a.overlaps(&b)
    };
    assert!(pair("/x/{name}", "/x/{name}"));
    assert!(pair("/x/{name}", "/{name}/me"));
    assert!(!pair("/x/{name}", "/y/{name}"));
    assert!(!pair("/x/{name}", "/x/{name}/z"));
    let post = route("POST", "/x/{name}", &read).unwrap();
    assert!(!post.overlaps(&route("GET", "/x/{name}", &read).unwrap()));
}

#[test]
fn an_origin_has_one_spelling() {
    for good in ["https://git.example", "http://127.0.0.1:8080", "https://[::1]:8443"] {
        assert!(good.parse::<Origin>().is_ok(), "{good}");
    }
    for bad in [
        "https://",
        "https://Git.example",
        "https://a/",
        "https://a:443",
        "http://a:80",
        "ftp://a",
        "https://u@a",
    ] {
        assert!(bad.parse::<Origin>().is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever is asked, a mapped resource is of the action's shape.
    #[test]
    fn nothing_maps_out_of_the_pattern(target in "(/[a-z.%{}/?]{0,6}){0,4}", method in "GET|PUT|get") {
        let read = action("a.b", "x/{name}", vec![]);
        let entry = one(route("GET", "/x/{name}", &read).unwrap());
        if let Ok(mapped) = entry.map(&method, &target) {
            prop_assert!(read.resource.matches(&mapped.resource, &"acme".parse().unwrap()));
            prop_assert_eq!(format!("/{}", mapped.resource), target);
        }
    }
}

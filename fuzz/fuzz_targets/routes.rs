//! Routes: a path pattern on the first line, a request's target on the second. What maps is of the action's
//! shape, has one spelling, and is the only route of two that do not overlap.
#![no_main]

use hotwork::domain::route::{Enforcement, PathPattern, Route, Target};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (pattern, request) = text.split_once('\n').unwrap_or((text, ""));
    let target = Target {
        action: "repo.file.read".parse().expect("an action"),
        resource: "repo/{owner}/{name}".parse().expect("a pattern"),
        parameters: Vec::new(),
        tenant: "acme".parse().expect("a tenant"),
    };
    let shape = target.resource.clone();
    let method = "GET".parse().expect("a method");
    let Ok(path) = pattern.parse::<PathPattern>() else { return };
    assert_eq!(path.to_string(), pattern);
    let Ok(route) = Route::new(method, path, false, target) else { return };
    assert!(route.overlaps(&route));
    let api = Enforcement { origin: None, routes: vec![route] };
    let Ok(mapped) = api.map("GET", request) else { return };
    assert!(shape.matches(&mapped.resource, &"acme".parse().expect("a tenant")));
    let odd = ["//", "/./", "/../", "%", "\\", "?", "#", ";"];
    assert!(!odd.iter().any(|odd| request.contains(odd)), "a second spelling: {request}");
});

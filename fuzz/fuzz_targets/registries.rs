//! A registry, its files in one text, each behind a line `--- NAME`: loading is total, problems point into a file, and
//! what is taken is consistent.
#![no_main]

use std::collections::{BTreeMap, HashSet};

use hotwork::config::registry;
use hotwork::domain::agent::Day;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let files: BTreeMap<String, String> = text
        .split("--- ")
        .filter_map(|file| file.split_once('\n'))
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    let lines: usize = files.values().map(|text| text.split('\n').count()).max().unwrap_or(1);
    let trust_domain = "example.org".parse().expect("a trust domain");
    let issuer = "https://hotwork.example".parse().expect("an issuer");
    match registry::parse(files, &trust_domain, &issuer, Day(20_780)) {
        Ok(loaded) => {
            let apis = loaded.registry.apis();
            let names: HashSet<&str> = apis.iter().map(|api| api.name.as_str()).collect();
            assert_eq!(names.len(), apis.len(), "an API twice");
            for action in apis.iter().flat_map(|api| api.actions.iter().map(move |action| (api, action))) {
                assert_eq!(action.1.name.api(), action.0.name.as_str());
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without saying why");
            let there = |line, column| (1..=lines).contains(&line) && column > 0;
            assert!(problems.iter().all(|problem| there(problem.line, problem.column)), "{problems}");
        }
    }
});

//! The daemon's configuration: reading is total, problems point into the text, and what is taken keeps agents and
//! operators apart.
#![no_main]

use std::path::Path;

use hotwork::config::Config;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let lines = text.split('\n').count();
    match Config::parse(Path::new("hotworkd.toml"), text) {
        Ok(config) => {
            assert_ne!(config.agent_socket.path, config.admin_socket.path);
            assert!(config.state_dir.is_absolute() && config.registry_dir.is_absolute() && !config.dev);
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without saying why");
            let there = |line, column| (1..=lines).contains(&line) && column > 0;
            assert!(problems.iter().all(|problem| there(problem.line, problem.column)), "{problems}");
        }
    }
});

//! The registry's loader: every kind of problem, the examples, the demonstration.

mod agents;
mod examples;
mod files;
mod operators;
mod playbooks;
mod problems;
mod routes;

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const TODAY: Day = Day(20_780);

fn load_dir(dir: &Path) -> Result<Loaded, Problems> {
    load(dir, &"example.org".parse().unwrap(), &"https://hotwork.example".parse().unwrap(), TODAY)
}

fn put(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

/// The lines of all problems, without the directory in front.
fn lines(dir: &Path) -> Vec<String> {
    let problems: Vec<Problem> = match load_dir(dir) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems.iter().cloned().collect(),
    };
    let prefix = format!("{}/", dir.display());
    problems.iter().map(|problem| format!("{}: {problem}", problem.severity).replace(&prefix, "")).collect()
}

//! The code blocks of a recipe, with the places that they name moved to a test's directory.

use std::path::{Path, PathBuf};

/// The first block of this language in `docs/recipes/PAGE`.
pub fn block(page: &str, language: &str) -> String {
    block_below(page, "", language)
}

/// The first one below a heading.
pub fn block_below(page: &str, heading: &str, language: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipes").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, below) = text.split_once(heading).unwrap();
    let (_, after) = below.split_once(&format!("\n```{language}\n")).unwrap();
    let (block, _) = after.split_once("\n```\n").unwrap();
    format!("{block}\n")
}

/// The text with each place in another. Every place must be there, or the recipe changed and the test did not.
pub fn moved(text: &str, places: &[(&str, &str)]) -> String {
    places.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "the recipe does not say `{from}`");
        text.replace(from, to)
    })
}

/// A program of the tests, or `None`, said aloud.
pub fn program(name: &str, candidates: &[&str]) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = candidates.iter().map(|path| root.join(path)).find(|path| path.exists());
    if found.is_none() {
        let must = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!must, "{name} is missing: run scripts/install-test-tools.sh");
        eprintln!("SKIPPED {name}: run scripts/install-test-tools.sh first");
    }
    found
}

/// A port that is free now.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

//! The rules: each takes a file's path and text and gives what is wrong with it. Amend a table here when
//! the architecture changes, in the same commit as `docs/ARCHITECTURE.md`.

use std::fmt;

use super::source::{code, paths};

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

fn finding(path: &str, line: usize, message: impl Into<String>) -> Finding {
    Finding { path: path.to_owned(), line, message: message.into() }
}

/// The rooms and their floors.
const FLOORS: [(&str, u8); 19] = [
    ("domain", 0),
    ("attest", 1),
    ("clock", 1),
    ("notify", 1),
    ("policy", 1),
    ("signer", 1),
    ("ssh", 1),
    ("store", 1),
    ("broker", 2),
    ("verify", 2),
    ("api", 3),
    ("feed", 3),
    ("proto", 3),
    ("app", 4),
    ("bin", 4),
    ("cli", 4),
    ("config", 4),
    ("main", 4),
    ("telemetry", 4),
];

fn floor(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The room of a source file: `src/store/journal.rs` and `src/clock.rs` are in `store` and `clock`.
fn room(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

/// The module path of a source file below the crate.
fn module(path: &str) -> Vec<&str> {
    let inside = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    inside.split('/').filter(|part| *part != "mod").collect()
}

/// The room that a path names, seen from the file `from`; `None` for a path that leaves the crate.
fn room_named(from: &str, path: &[String]) -> Option<String> {
    let ups = path.iter().take_while(|word| *word == "super").count();
    let (root, rest) = match path.first().map(String::as_str) {
        Some("crate" | "hotwork") => (0, path.get(1..)?),
        Some("super") => (module(from).len().checked_sub(ups)?, path.get(ups..)?),
        _ => return None,
    };
    if root == 0 { rest.first().cloned() } else { None }
}

/// A file uses its own room and lower floors. On floor 3 the API and the feed speak the wire's words; on floor 4 the
/// wiring knows everything. The binaries reach the library through its front door.
pub(crate) fn floors(path: &str, text: &str) -> Vec<Finding> {
    let own = room(path);
    if own == "lib" {
        return Vec::new();
    }
    let Some(level) = floor(own) else {
        return vec![finding(path, 1, format!("room `{own}` stands on no floor"))];
    };
    let allowed = |other: &str| {
        let Some(theirs) = floor(other) else { return true };
        own == other || theirs < level || level == 4 || (["api", "feed"].contains(&own) && other == "proto")
    };
    let named = paths(&code(text));
    let rooms = named.iter().filter_map(|named| Some((named.line, room_named(path, &named.path)?)));
    let wrong = rooms.filter(|(_, other)| !allowed(other));
    wrong.map(|(line, other)| finding(path, line, format!("`{own}` must not know `{other}`"))).collect()
}

/// Crates and parts of std that do I/O, tell the time, or block.
const IMPURE: [&str; 25] = [
    "axum",
    "cedar_policy",
    "clap",
    "governor",
    "http",
    "hyper",
    "libc",
    "prost",
    "rcgen",
    "ring",
    "rustix",
    "rustls",
    "sled",
    "tokio",
    "tonic",
    "tower",
    "tracing",
    "x509_parser",
    "std::env",
    "std::fs",
    "std::io",
    "std::net",
    "std::process",
    "std::thread",
    "std::os",
];

/// Floor 0 does no I/O, waits for nothing and asks no clock.
pub(crate) fn pure_domain(path: &str, text: &str) -> Vec<Finding> {
    if room(path) != "domain" {
        return Vec::new();
    }
    let code = code(text);
    let impure = |path: &str| {
        let below = |name: &str| path == name || path.starts_with(&format!("{name}::"));
        IMPURE.iter().any(|name| below(name)) || path.contains("SystemTime") || path.contains("Instant")
    };
    let named =
        paths(&code).into_iter().filter(|named| named.path.len() > 1 && impure(&named.path.join("::")));
    let mut found: Vec<Finding> = named
        .map(|named| finding(path, named.line, format!("impure: `{}`", named.path.join("::"))))
        .collect();
    for (number, line) in code.lines().enumerate() {
        if line.contains("async fn") || line.contains("async move") || line.contains(".await") {
            found.push(finding(path, number + 1, "floor 0 waits for nothing"));
        }
    }
    found
}

/// Concrete parts and the rooms that may name them, so that each stays behind one door.
const HOMES: [(&str, &[&str]); 6] = [
    ("axum", &["api", "app"]),
    ("cedar_policy", &["policy"]),
    ("clap", &["app", "bin", "cli", "main"]),
    ("rcgen", &["cli", "signer"]),
    ("sled", &["store"]),
    ("tonic", &["api", "app", "cli", "feed", "proto"]),
];

/// A concrete part is named in its own room only.
pub(crate) fn crates_at_home(path: &str, text: &str) -> Vec<Finding> {
    let own = room(path);
    let away = |name: &str| HOMES.iter().any(|(part, homes)| *part == name && !homes.contains(&own));
    let named = paths(&code(text)).into_iter().filter(|named| named.path.len() > 1 && away(&named.path[0]));
    named.map(|named| finding(path, named.line, format!("`{}` is not `{own}`'s", named.path[0]))).collect()
}

/// A value that proves that a step was taken.
struct Proof {
    name: &'static str,
    /// Where it is defined and made, and nowhere else.
    homes: &'static [&'static str],
    /// Whether one proof may be used more than once.
    reusable: bool,
}

const fn proof(name: &'static str, homes: &'static [&'static str]) -> Proof {
    Proof { name, homes, reusable: false }
}

const PROOFS: [Proof; 11] = [
    // It is asked for again at each use of the session.
    proof("Announced", &["src/broker/announce.rs"]),
    proof("Attested", &["src/attest/"]),
    // An operator's call may do several things; it was let through as a whole.
    Proof { name: "Authorized", homes: &["src/broker/operate.rs"], reusable: true },
    // The ledger's writer keeps the change while its entry becomes durable.
    Proof { name: "Change", homes: &["src/domain/ledger"], reusable: true },
    proof("Linted", &["src/signer/"]),
    proof("Permitted", &["src/broker/decide.rs"]),
    // The store's receipt, and the broker's opened seal that can only be had with it.
    proof("Recorded", &["src/broker/record.rs", "src/store/"]),
    proof("Sealed", &["src/broker/seal.rs"]),
    proof("Signable", &["src/broker/decide/signable.rs"]),
    proof("SignedBy", &["src/ssh/"]),
    proof("Verified", &["src/verify/mod.rs"]),
];

/// A proof is defined in its home; it has no public field and can't be defaulted, read from outside or,
/// if it proves one step, copied; and no other file writes it as a literal.
pub(crate) fn proofs(files: &[(String, String)]) -> Vec<Finding> {
    let codes: Vec<(&str, String)> = files.iter().map(|(path, text)| (path.as_str(), code(text))).collect();
    PROOFS.iter().flat_map(|proof| proof.check(&codes)).collect()
}

impl Proof {
    fn check(&self, files: &[(&str, String)]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut defined = false;
        for (path, code) in files {
            let lines: Vec<&str> = code.lines().collect();
            for (number, line) in lines.iter().enumerate() {
                if defines(line, self.name) {
                    defined = true;
                    found.extend(self.definition(path, number, &lines));
                } else if !self.at_home(path) && literal(line, self.name) {
                    let message = format!("`{}` is made in {} only", self.name, self.homes.join(", "));
                    found.push(finding(path, number + 1, message));
                }
            }
        }
        // A room that is not furnished yet owes nothing.
        let home = self.homes[0];
        let furnished = files.iter().any(|(path, _)| room(path) == room(home) && !path.ends_with("/mod.rs"));
        if furnished && !defined {
            found.push(finding(home, 1, format!("`{}` is gone: who proves the step now?", self.name)));
        }
        found
    }

    fn at_home(&self, path: &str) -> bool {
        self.homes.iter().any(|home| path.starts_with(home))
    }

    fn definition(&self, path: &str, number: usize, lines: &[&str]) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut wrong =
            |message: &str| found.push(finding(path, number + 1, format!("`{}` {message}", self.name)));
        if !self.at_home(path) {
            wrong("is defined away from its home");
        }
        let attributes =
            lines[..number].iter().rev().take_while(|line| !line.trim().is_empty() && !line.contains('}'));
        let derives: String = attributes.filter(|line| line.contains("derive")).copied().collect();
        if derives.contains("Default") || derives.contains("Deserialize") {
            wrong("can be had without earning it");
        }
        if derives.contains("Clone") && !self.reusable {
            wrong("can be copied");
        }
        let mut body = lines[number + 1..].iter().take_while(|line| !line.starts_with('}'));
        let opened = lines[number].trim_end().ends_with('{');
        if opened && body.any(|line| line.trim_start().starts_with("pub ")) {
            wrong("has a public field");
        }
        found
    }
}

fn defines(line: &str, name: &str) -> bool {
    let after = line.split_once("struct ").map(|(_, after)| after);
    after.and_then(|after| after.strip_prefix(name)).is_some_and(|rest| !rest.starts_with(is_in_word))
}

/// `Name {` where a value is meant; a pattern with `..`, an `impl` or a return type is none.
fn literal(line: &str, name: &str) -> bool {
    let Some((before, _)) = line.split_once(&format!("{name} {{")) else { return false };
    let whole = !before.ends_with(is_in_word);
    let other = ["impl", "->", " for ", "enum ", "trait "].iter().any(|word| before.contains(word));
    whole && !other && !line.contains("..")
}

fn is_in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// No environment reads below the wiring: configuration comes as arguments.
pub(crate) fn environment(path: &str, text: &str) -> Vec<Finding> {
    if floor(room(path)) == Some(4) {
        return Vec::new();
    }
    let reads = |path: &[String]| path.join("::").starts_with("std::env") || path.join("::") == "env::var";
    let named = paths(&code(text)).into_iter().filter(|named| reads(&named.path));
    named.map(|named| finding(path, named.line, "the environment is read in the wiring only")).collect()
}

/// Only the command line writes to the terminal, and through its own writers.
pub(crate) fn printing(path: &str, text: &str) -> Vec<Finding> {
    let code = code(text);
    let lines = code.lines().enumerate();
    let prints = |line: &str| ["println!", "print!", "dbg!"].iter().any(|word| line.contains(word));
    lines.filter(|(_, line)| prints(line)).map(|(n, _)| finding(path, n + 1, "code prints nothing")).collect()
}

/// Longest file in lines: what fits in the head, with some room.
const LINES_MAX: usize = 420;
/// Longest `main` in lines: it only hands over.
const MAIN_LINES_MAX: usize = 60;

/// A file fits in the head, and a `main` on a screen.
pub(crate) fn size(path: &str, text: &str) -> Vec<Finding> {
    let main = path == "src/main.rs" || path.starts_with("src/bin/");
    let (lines, max) = (text.lines().count(), if main { MAIN_LINES_MAX } else { LINES_MAX });
    if lines <= max {
        return Vec::new();
    }
    vec![finding(path, lines, format!("{lines} lines, expected at most {max}"))]
}

/// A file opens with what it knows.
pub(crate) fn head(path: &str, text: &str) -> Vec<Finding> {
    let says = text.lines().next().is_some_and(|line| line.len() > 8 && line.starts_with("//! "));
    if says { Vec::new() } else { vec![finding(path, 1, "the file does not open with `//!`")] }
}

/// Folders of somebody's machine: no text of ours works only there.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];
const LATER: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// No machine paths, and no promise without the number under which it is tracked: `TODO(#7)`.
pub(crate) fn words(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let machine = MACHINE_PATHS.iter().filter(|part| starts_path(line, part));
        found.extend(machine.map(|part| finding(path, number + 1, format!("a machine's path: `{part}`"))));
        let later = LATER.iter().filter(|word| {
            let mut after = line.split(**word).skip(1);
            after.any(|rest| !rest.starts_with("(#") && !rest.starts_with(is_in_word))
        });
        found.extend(later.map(|word| finding(path, number + 1, format!("`{word}` without a number"))));
    }
    found
}

/// Whether `part` begins an absolute path in the line: no word stands directly before it.
fn starts_path(line: &str, part: &str) -> bool {
    line.match_indices(part).any(|(at, _)| !line[..at].ends_with(|c| is_in_word(c) || c == '.' || c == '}'))
}

/// Packages that bring a second TLS stack or a C library of cryptography.
const BANNED_PACKAGES: [&str; 8] = [
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-lc-fips-sys",
    "boring-sys",
    "native-tls",
    "openssl",
    "openssl-sys",
    "schannel",
];

/// The lock file: ring only, and every package from the one registry.
pub(crate) fn lock(text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let name = line.strip_prefix("name = \"").and_then(|rest| rest.strip_suffix('"'));
        if name.is_some_and(|name| BANNED_PACKAGES.contains(&name)) {
            found.push(finding("Cargo.lock", number + 1, format!("banned: {line}")));
        }
        let source = line.strip_prefix("source = \"");
        if source.is_some_and(|source| !source.starts_with("registry+https://github.com/rust-lang/crates.io"))
        {
            found.push(finding("Cargo.lock", number + 1, format!("not the registry: {line}")));
        }
    }
    found
}

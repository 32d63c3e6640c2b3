//! Problems of files: where, at which key, what is wrong. All of them at once.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::domain::limits::PROBLEMS_MAX;
use crate::policy;

pub use crate::policy::Severity;

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The file, or the directory.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The key's path, such as `action[2].ttl_max`, or a policy's id; empty when it is about the whole file.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
    /// Whether nothing is loaded.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file.display(), self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl From<policy::Problem> for Problem {
    fn from(problem: policy::Problem) -> Self {
        Self {
            file: problem.path,
            line: problem.line,
            column: problem.column,
            key: problem.policy.map(|name| name.to_string()).unwrap_or_default(),
            message: problem.message,
            severity: problem.severity,
        }
    }
}

/// Every problem found, errors and warnings, in the order of files and lines. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, which does not happen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Where something is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) key: String,
}

impl Place {
    /// The whole of `file`.
    pub(super) fn file(file: &Path) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1, key: String::new() }
    }
}

/// Where problems are gathered. Readers share it.
#[derive(Default)]
pub(super) struct Gathered(RefCell<Vec<Problem>>);

impl Gathered {
    pub(super) fn error(&self, place: Place, message: impl Into<String>) {
        self.push(place, message.into(), Severity::Error);
    }

    pub(super) fn warning(&self, place: Place, message: impl Into<String>) {
        self.push(place, message.into(), Severity::Warning);
    }

    fn push(&self, place: Place, message: String, severity: Severity) {
        let Place { file, line, column, key } = place;
        self.add(Problem { file, line, column, key, message, severity });
    }

    pub(super) fn add(&self, problem: Problem) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        }
    }

    pub(super) fn has_error(&self) -> bool {
        self.0.borrow().iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The warnings when there is no error.
    ///
    /// # Errors
    /// With everything when there is one.
    pub(super) fn finish(self) -> Result<Vec<Problem>, Problems> {
        let failed = self.has_error();
        let mut problems = self.0.into_inner();
        problems.sort();
        problems.dedup();
        if failed { Err(Problems(problems)) } else { Ok(problems) }
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

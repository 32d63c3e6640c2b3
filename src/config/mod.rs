//! Configuration and registry files: raw text to checked values.
//!
//! Everything is read once, every problem of every file is reported at once, and what comes out is immutable.
//! Constructors elsewhere take parts of it, never the whole.

mod check;
pub mod demo;
pub mod edge;
mod file;
mod forms;
mod notify;
mod problem;
pub mod publication;
mod raw;
pub mod registry;
pub mod starter;

pub use check::{Config, LogFormat, LogLevel, Socket};
pub use problem::{Problem, Problems, Severity};

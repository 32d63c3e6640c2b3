//! Standard output for data, standard error for messages.

use std::io::{self, IsTerminal as _, Write as _};

use comfy_table::Table;
use serde::Serialize;

use super::args::Format;
use super::failure::{Exit, Failure};
use super::json::{self, Wire};
use super::text::{clean, clean_json};

/// Where and how things are shown.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// The format of data.
    pub format: Format,
    /// Whether standard output is a terminal: tables fit its width.
    pub terminal: bool,
    /// Whether it may be coloured.
    pub color: bool,
    /// Whether a question can be asked: standard input and standard error are a terminal.
    pub interactive: bool,
}

impl Screen {
    /// For the streams of this process. `no_color` is whether the environment wants none.
    pub fn new(format: Format, no_color: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let interactive = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { format, terminal, color: terminal && !no_color, interactive }
    }

    /// Shows an answer in the format asked for. `names` are the ids, `table` is for people.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn show<M: Wire>(
        &self,
        answer: &M,
        names: impl FnOnce() -> Vec<String>,
        table: impl FnOnce(&Self) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.data(&json::pretty(answer)?),
            Format::Yaml => self.data(&json::yaml(answer)?),
            Format::Name => self.data(&lines(&names())),
            Format::Table => self.data(&table(self)),
        }
    }

    /// Shows what is not an answer of the broker.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn show_value<V: Serialize>(
        &self,
        value: &V,
        names: impl FnOnce() -> Vec<String>,
        table: impl FnOnce(&Self) -> String,
    ) -> Result<(), Failure> {
        let form =
            || Failure::new(Exit::Failed, "json", "this can't be written in this format").hint("report this");
        match self.format {
            Format::Json => {
                let text = serde_json::to_string_pretty(value).map_err(|_| form())?;
                self.data(&format!("{}\n", clean_json(&text)))
            }
            Format::Yaml => self.data(&serde_yaml_ng::to_string(value).map_err(|_| form())?),
            Format::Name => self.data(&lines(&names())),
            Format::Table => self.data(&table(self)),
        }
    }

    /// How many columns a line has; 80 where that is not known. What is read in a pager is on a terminal all the same.
    pub fn columns(&self) -> usize {
        let (out, mut err) = (Table::new(), Table::new());
        err.use_stderr();
        let known = [out.width(), err.width()].into_iter().flatten().filter(|width| *width > 0);
        known.min().map_or(80, usize::from)
    }

    /// Writes data.
    ///
    /// # Errors
    /// When standard output can't be written.
    pub fn data(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
    }

    /// Writes a message for people. A message that can't be written has nobody to be told to.
    pub fn note(&self, text: &str) {
        let mut err = anstream::stderr().lock();
        let _ = writeln!(err, "{text}");
    }

    /// Writes part of a line for people, over the last one.
    pub fn line(&self, text: &str) {
        let mut err = anstream::stderr().lock();
        let _ = write!(err, "{text}");
        let _ = err.flush();
    }

    /// Tells a failure: one object on standard output under `-o json`, a message on standard error otherwise.
    pub fn fail(&self, failure: &Failure) {
        if failure.exit == Exit::Quiet {
            return;
        }
        if self.format == Format::Json {
            let _ = self.data(&format!("{}\n", clean_json(&failure.to_json())));
            return;
        }
        let mut err = anstream::stderr().lock();
        let _ = writeln!(err, "\u{1b}[1;31merror:\u{1b}[0m {failure}");
    }

    /// Asks a question on the terminal and reads one line.
    ///
    /// # Errors
    /// When standard input can't be read.
    pub fn ask(&self, question: &str) -> Result<String, Failure> {
        let mut err = anstream::stderr().lock();
        let _ = write!(err, "{question} ");
        let _ = err.flush();
        drop(err);
        let mut line = String::new();
        io::stdin().read_line(&mut line).map_err(|error| {
            Failure::new(Exit::Failed, "input", format!("cannot read the answer: {error}"))
                .hint("give the answer by option; see `--help`")
        })?;
        Ok(line.trim().to_owned())
    }
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| clean(name) + "\n").collect()
}

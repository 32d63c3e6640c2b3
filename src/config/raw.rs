//! Raw text to located values: TOML tables read key by key, where every mistake is reported with its line
//! and key path and none hides another.
//!
//! Knows TOML and text forms; what the keys mean is known to the checks. A derived deserializer stops at its
//! first mistake, so the tables are read here by hand.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Gathered, Place};

/// One file's text with the place for its problems.
#[derive(Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
    pub(super) gathered: &'a Gathered,
}

impl<'a> Document<'a> {
    /// The text as a table; syntax errors are reported, all of them, and what could be read is given.
    pub(super) fn parse(self) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let place = self.place(&error.span().unwrap_or(0..0), String::new());
            self.gathered.error(place, format!("not TOML: {}", error.message()));
        }
        table
    }

    fn place(&self, span: &Range<usize>, key: String) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let last = before.rsplit('\n').next().unwrap_or(before);
        Place {
            file: self.file.to_owned(),
            line: before.matches('\n').count().saturating_add(1),
            column: last.chars().count().saturating_add(1),
            key,
        }
    }
}

/// A table being read. [`Table::done`] reports the keys that nobody asked for.
pub(super) struct Table<'a> {
    document: Document<'a>,
    /// `None` is an empty one.
    table: Option<&'a DeTable<'a>>,
    path: String,
    span: Range<usize>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value with its place.
#[derive(Clone)]
pub(super) struct Field<'a> {
    document: Document<'a>,
    pub(super) value: &'a DeValue<'a>,
    path: String,
    span: Range<usize>,
}

impl<'a> Table<'a> {
    pub(super) fn root(document: Document<'a>, table: &'a Spanned<DeTable<'a>>) -> Self {
        Self {
            document,
            table: Some(table.get_ref()),
            path: String::new(),
            span: 0..0,
            asked: RefCell::default(),
        }
    }

    /// Where the key is, or would be.
    pub(super) fn place_of(&self, key: &str) -> Place {
        let span = self.entry(key).map_or_else(|| self.span.clone(), |(key, _)| key.span());
        self.document.place(&span, self.join(key))
    }

    pub(super) fn error(&self, key: &str, message: impl Into<String>) {
        self.document.gathered.error(self.place_of(key), message);
    }

    pub(super) fn warning(&self, key: &str, message: impl Into<String>) {
        self.document.gathered.warning(self.place_of(key), message);
    }

    /// The value of `key`, if it is there.
    pub(super) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        self.entry(key).map(|(_, value)| self.field_of(key, value))
    }

    /// All entries, for tables whose keys are names.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.table
            .into_iter()
            .flat_map(|table| table.iter())
            .map(|(key, value)| (key.get_ref().as_ref(), self.field_of(key.get_ref(), value)))
    }

    /// A text that must be there and parse.
    pub(super) fn required<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<T> {
        let field = self.field(key);
        if field.is_none() {
            self.error(key, "missing; it has no default");
        }
        field?.parse()
    }

    /// A text that is `default` when it is not there. `None` when it is there and wrong.
    pub(super) fn or<T: FromStr<Err: Display>>(&self, key: &'static str, default: T) -> Option<T> {
        self.field(key).map_or(Some(default), |field| field.parse())
    }

    /// A text that need not be there. `None` when it is there and wrong.
    pub(super) fn optional<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Option<T>> {
        self.field(key).map_or(Some(None), |field| field.parse().map(Some))
    }

    /// A truth value that is `default` when it is not there.
    pub(super) fn flag(&self, key: &'static str, default: bool) -> Option<bool> {
        self.field(key).map_or(Some(default), |field| field.flag())
    }

    /// An integer that need not be there.
    pub(super) fn integer(&self, key: &'static str) -> Option<Option<i64>> {
        self.field(key).map_or(Some(None), |field| field.integer().map(Some))
    }

    /// A list of texts, empty when it is not there. `None` when one is wrong.
    pub(super) fn list<T: FromStr<Err: Display>>(&self, key: &'static str) -> Option<Vec<T>> {
        let Some(field) = self.field(key) else { return Some(Vec::new()) };
        let read: Vec<Option<T>> = field.items()?.iter().map(Field::parse).collect();
        read.into_iter().collect()
    }

    /// A table in this one; an empty one when it is not there.
    pub(super) fn table(&self, key: &'static str) -> Option<Table<'a>> {
        match self.field(key) {
            Some(field) => field.table(),
            None => Some(Table {
                document: self.document,
                table: None,
                path: self.join(key),
                span: self.span.clone(),
                asked: RefCell::default(),
            }),
        }
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Table<'a>> {
        let items = self.field(key).and_then(|field| field.items()).unwrap_or_default();
        items.iter().filter_map(Field::table).collect()
    }

    /// Ends the reading: see [`Table::close`].
    pub(super) fn done(self) {
        self.close();
    }

    /// Reports keys that nobody asked for. A misspelt key would otherwise be a setting that is not there.
    pub(super) fn close(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flat_map(|table| table.iter()) {
            if !asked.contains(&key.get_ref().as_ref()) {
                let known = asked.iter().map(|known| format!("`{known}`")).collect::<Vec<_>>().join(", ");
                self.error(key.get_ref(), format!("unknown key, expected one of {known}"));
            }
        }
    }

    fn entry(&self, key: &str) -> Option<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Spanned<DeValue<'a>>)> {
        self.table?.iter().find(|(name, _)| name.get_ref() == key)
    }

    fn field_of(&self, key: &str, value: &'a Spanned<DeValue<'a>>) -> Field<'a> {
        Field { document: self.document, value: value.get_ref(), path: self.join(key), span: value.span() }
    }

    fn join(&self, key: &str) -> String {
        let key = if key.contains('.') { format!("\"{key}\"") } else { key.to_owned() };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

impl<'a> Field<'a> {
    pub(super) fn place(&self) -> Place {
        self.document.place(&self.span, self.path.clone())
    }

    pub(super) fn error(&self, message: impl Into<String>) {
        self.document.gathered.error(self.place(), message);
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.expect(self.value.as_str(), "a text")
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(format!("{error}, got `{}`", shown(text)));
                None
            }
        }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        self.expect(self.value.as_bool(), "`true` or `false`")
    }

    pub(super) fn integer(&self) -> Option<i64> {
        let integer = self.value.as_integer();
        let value = integer.and_then(|i| i64::from_str_radix(i.as_str(), i.radix()).ok());
        self.expect(value, "an integer")
    }

    /// The items of a list, each with its place.
    pub(super) fn items(&self) -> Option<Vec<Field<'a>>> {
        let array = self.expect(self.value.as_array(), "a list")?;
        let item = |(at, value): (usize, &'a Spanned<DeValue<'a>>)| Field {
            document: self.document,
            value: value.get_ref(),
            path: format!("{}[{at}]", self.path),
            span: value.span(),
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    pub(super) fn table(&self) -> Option<Table<'a>> {
        let table = Some(self.expect(self.value.as_table(), "a table")?);
        let (document, span, path) = (self.document, self.span.clone(), self.path.clone());
        Some(Table { document, table, path, span, asked: RefCell::default() })
    }

    fn expect<T>(&self, value: Option<T>, what: &str) -> Option<T> {
        if value.is_none() {
            self.error(format!("expected {what}, got {}", kind(self.value)));
        }
        value
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Array(_) => "a list",
        DeValue::Boolean(_) => "a truth value",
        DeValue::Datetime(_) => "a date without quotes",
        DeValue::Float(_) => "a fraction",
        DeValue::Integer(_) => "an integer",
        DeValue::String(_) => "a text",
        DeValue::Table(_) => "a table",
    }
}

/// A text as a message can carry it: without control characters, and not too long.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

//! Tables for people: plain columns, fitted to a terminal, coloured only there.

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};

use super::output::Screen;
use super::text::clean;

/// Rows under a heading. An empty one says so.
pub fn rows<const N: usize>(screen: &Screen, header: [&str; N], rows: &[[String; N]]) -> String {
    let mut table = plain(screen);
    table.set_header(header.map(|word| Cell::new(word).add_attribute(Attribute::Bold)));
    for row in rows {
        table.add_row(row.each_ref().map(|text| cell(text)));
    }
    finish(table)
}

/// A name and its value on each line; empty values are left out.
pub fn fields(screen: &Screen, fields: &[(&str, String)]) -> String {
    let mut table = plain(screen);
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([Cell::new(name).add_attribute(Attribute::Bold), cell(value)]);
    }
    finish(table)
}

fn plain(screen: &Screen) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    // A terminal that does not tell its width has 0 columns, and every letter would get its own line. The width is
    // set, because without colour the table takes itself for one in a pipe.
    if let Some(width) = table.width().filter(|width| screen.terminal && *width > 0) {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    if screen.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

fn finish(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// States have colours, so that an ended credential is seen at a glance.
fn cell(text: &str) -> Cell {
    let cell = Cell::new(clean(text));
    match text {
        "live" | "active" | "allow" | "yes" => cell.fg(Color::Green),
        "revoked" | "suspended" | "deny" | "retired" | "no" => cell.fg(Color::Red),
        "expired" | "released" => cell.fg(Color::DarkGrey),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Format;

    const PIPE: Screen = Screen { format: Format::Table, terminal: false, color: false, interactive: false };

    #[test]
    fn a_pipe_gets_plain_columns_without_escapes() {
        let text = rows(&PIPE, ["ID", "STATE"], &[["a".to_owned(), "revoked".to_owned()]]);
        assert_eq!(text, "ID  STATE\na   revoked\n");
    }

    #[test]
    fn what_a_server_says_cannot_steer_the_terminal() {
        let text = fields(&PIPE, &[("name", "\u{1b}[2J".to_owned()), ("empty", String::new())]);
        assert_eq!(text, "name  \\u{1b}[2J\n");
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        let text = rows(&Screen { color: true, ..PIPE }, ["STATE"], &[["live".to_owned()]]);
        assert!(text.contains('\u{1b}'), "{text:?}");
    }
}

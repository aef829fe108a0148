//! Small pieces of text for people: sizes, tables, counts.

use clap::builder::styling::Style;
use std::fmt::{self, Write as _};

/// `bytes` with one binary unit and at most one decimal: exact up to that decimal, rounded down.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return count(bytes, "byte");
    }
    let mut tenths = u128::from(bytes).saturating_mul(10) >> 10;
    let mut unit = "KiB";
    for larger in UNITS.into_iter().skip(1) {
        if tenths < 10_240 {
            break;
        }
        tenths >>= 10;
        unit = larger;
    }
    let (whole, tenth) = (tenths.checked_div(10), tenths.checked_rem(10));
    match (whole, tenth) {
        (Some(whole), Some(tenth)) if tenth > 0 => format!("{whole}.{tenth} {unit}"),
        (whole, _) => format!("{} {unit}", whole.unwrap_or_default()),
    }
}

/// Appends to a text; writing to memory cannot fail.
pub(crate) fn add(text: &mut String, piece: fmt::Arguments<'_>) {
    let _ = text.write_fmt(piece);
}

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// "1 file", "2 files".
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// A table of left-aligned columns, two spaces apart, with a head; empty without rows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; an empty cell is shown as a dash.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        let dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
        self.rows.push(cells.into_iter().map(dash).collect());
    }

    /// The text, every line after `indent` spaces.
    pub(crate) fn render(&self, indent: usize, head_style: Style) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let head: Vec<String> = self.head.iter().map(|&name| name.to_owned()).collect();
        let widths: Vec<usize> = (0..head.len()).map(|column| self.width(column)).collect();
        let mut text = String::new();
        add(&mut text, format_args!("{}\n", styled(head_style, line(&head, &widths, indent))));
        for row in &self.rows {
            text.push_str(&line(row, &widths, indent));
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let head = self.head.get(column).map_or(0, |name| name.chars().count());
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(head)
    }
}

fn line(cells: &[String], widths: &[usize], indent: usize) -> String {
    let mut text = " ".repeat(indent);
    for (cell, width) in cells.iter().zip(widths) {
        add(&mut text, format_args!("{cell:<width$}  "));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_never_too_large() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1023.9 KiB"),
            (64 * 1024 * 1024, "64 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn tables_align_and_leave_no_spaces_at_the_end() {
        let mut table = Table::new(&["A", "LONG"]);
        table.row(["xyz".to_owned(), String::new()]);
        table.row(["x".to_owned(), "y".to_owned()]);
        assert_eq!(table.render(2, Style::new()), "  A    LONG\n  xyz  -\n  x    y\n");
    }
}

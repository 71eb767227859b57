//! How facts look on a terminal: tables, times, sizes. Pure text.

use chrono::{DateTime, Local};
use serde_json::Value;

use crate::base::clock::Timestamp;

/// Longest text in one cell of a table, in characters.
const CELL_CHARS_MAX: usize = 60;

/// Rows under a header, in columns as wide as they need to be.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let mut widths = header.map(|name| name.chars().count());
    let rows: Vec<[String; COLUMNS]> = rows.iter().map(|row| row.clone().map(|cell| one_line(&cell))).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&header.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    text
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

/// The text without line breaks and control characters, and not endless.
pub fn one_line(text: &str) -> String {
    let mut line: String = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(CELL_CHARS_MAX) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// Without what could steer a terminal: names come from devices and messages from anybody.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { ' ' } else { c }).collect()
}

/// A field as text; blank when there is none.
pub fn field(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A field with a time, on the clock of this place.
pub fn time(value: &Value, name: &str) -> String {
    let text = field(value, name);
    match Timestamp::parse(&text) {
        Some(at) => local(at),
        None => text,
    }
}

pub fn local(at: Timestamp) -> String {
    DateTime::<Local>::from(at.to_utc()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// Bytes in the unit that suits them.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    for step in 0..UNITS.len() {
        unit = step;
        value /= 1024.0;
        if value < 1024.0 {
            break;
        }
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A length of time in its two largest units.
pub fn length(seconds: u64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3_600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let shown = units.iter().skip_while(|(count, _)| *count == 0).take(2).filter(|(count, _)| *count > 0);
    let text: Vec<String> = shown.map(|(count, unit)| format!("{count} {unit}")).collect();
    if text.is_empty() { "0 s".to_owned() } else { text.join(" ") }
}

/// `1 task`, `2 tasks`.
pub fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_is_in_them() {
        let rows = [["Küche".to_owned(), "on".to_owned()], ["a\u{1b}[31m\nb".to_owned(), "x".repeat(99)]];
        let expected = format!("NAME      STATE\nKüche     on\na [31m b  {}…\n", "x".repeat(60));
        assert_eq!(table(["NAME", "STATE"], &rows), expected);
        assert_eq!(table(["NAME"], &[]), "NAME\n");
    }

    #[test]
    fn sizes_and_lengths_are_short() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(0, "0 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h"), (172_800, "2 d")] {
            assert_eq!(length(seconds), text);
        }
    }
}

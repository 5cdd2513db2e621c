//! What a run has found, for people.

use std::fmt::Write as _;

use tests::engine::Engine;

/// Prints a table with a line for each engine.
pub(crate) fn print(title: &str, columns: &[&str], lines: &[(Engine, Vec<String>)]) {
    let mut table = vec![[&["engine"], columns].concat().iter().map(ToString::to_string).collect::<Vec<_>>()];
    table.extend(lines.iter().map(|(engine, cells)| [&[format!("{engine:?}")], cells.as_slice()].concat()));
    let mut text = format!("\n{title}\n");
    for line in &table {
        for (column, cell) in line.iter().enumerate() {
            let width = table.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
            let _ = write!(text, "| {cell:width$} ");
        }
        text += "|\n";
    }
    println!("{text}");
}

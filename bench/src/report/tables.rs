//! Figures in rows and columns.

use std::fmt::Write as _;

use crate::{
    figures::{Figures, Spread},
    growth::{EDGES, MEMBERS, SHARED, STREAMS},
    server::Peer,
};

const SERVERS: [Peer; 5] = [Peer::Raw, Peer::Runnel, Peer::Nchan, Peer::Naive, Peer::Mosquitto];

/// What is said of every server: a heading, a figure's name, and whether its ratio to raw says anything.
const ROWS: [(&str, &str, bool); 25] = [
    ("**at rest, 10,000 streams**: KiB of process a stream", "rest KiB", false),
    ("CPU, % of one", "rest cpu %", true),
    ("streams opened /s", "opened /s", true),
    ("**1 → 1,000 streams, one at a time**: frames/s", "many 1000 w1 /s", true),
    ("CPU, µs a frame", "many 1000 w1 cpu", true),
    ("generator's CPU", "many 1000 w1 generator", false),
    ("**the same, four outstanding**: frames/s", "many 1000 w4 /s", true),
    ("CPU, µs a frame", "many 1000 w4 cpu", true),
    ("**1 → 10,000 streams, one at a time**: frames/s", "many 10000 w1 /s", true),
    ("CPU, µs a frame", "many 10000 w1 cpu", true),
    ("generator's CPU", "many 10000 w1 generator", false),
    ("**the same, four outstanding**: frames/s", "many 10000 w4 /s", true),
    ("CPU, µs a frame", "many 10000 w4 cpu", true),
    ("**1 → 1 of 10,000, closed loop**: messages/s", "one closed /s", true),
    ("CPU, µs a message", "one closed cpu", true),
    ("generator's CPU", "one closed generator", false),
    ("**1 → 1 of 10,000 at 5,000/s**: p50, ms", "one 5000 p50 ms", true),
    ("p99, ms", "one 5000 p99 ms", true),
    ("**storm of 5,000**: until all are back and have all, ms", "storm ms", true),
    ("CPU, s", "storm cpu s", true),
    ("messages that had to be replayed", "storm replayed", false),
    ("lost", "storm lost", false),
    ("**1,000 deaf among 1,000**: kernel, MiB", "deaf kernel MiB", false),
    ("process, MiB", "deaf process MiB", false),
    ("rate that the others keep", "deaf others", false),
];

/// All servers side by side.
pub(super) fn servers(figures: &Figures) -> String {
    let mut table = format!("| | {} |", SERVERS.map(Peer::name).join(" | "));
    table += "\n|---|---|---|---|---|---|\n";
    for (what, name, ratio) in ROWS {
        let _ = write!(table, "| {what} |");
        for peer in SERVERS {
            let mut cell = spread(figures.spread(peer.name(), name));
            if ratio
                && peer != Peer::Raw
                && let Some(ratio) = figures.ratio(peer.name(), name)
            {
                let _ = write!(cell, " **×{:.2}**", ratio.median);
            }
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    if let Some(envelopes) = figures.spread("Runnel", "envelopes a receive") {
        let _ = writeln!(
            table,
            "\nIn the closed loop the edge took {} envelopes a receive.",
            number(envelopes.median)
        );
    }
    table
}

/// The whole service in one process.
pub(super) fn end_to_end(figures: &Figures) -> String {
    let mut table = String::from("| | messages/s | p50 at 50/s, ms | p99 at 50/s, ms |\n|---|---|---|---|\n");
    for server in ["runnel on a file", "runnel in memory"] {
        let cell = |name| spread(figures.spread(server, name));
        let (most, p50, p99) = (cell("e2e /s"), cell("e2e p50 ms"), cell("e2e p99 ms"));
        let _ = writeln!(table, "| {server} | {most} | {p50} | {p99} |");
    }
    table
}

/// How Runnel grows.
pub(super) fn growth(figures: &Figures) -> String {
    let shared = number(SHARED as f64);
    let many = |server: &str, streams: usize| {
        let cell = |what: &str| spread(figures.spread(server, &format!("many {streams} {what}")));
        [cell("w1 /s"), cell("w1 cpu"), cell("w4 /s"), cell("w4 cpu")].join(" | ")
    };
    let mut table = String::from(
        "| one message to all | frames/s, one at a time | CPU, µs a frame | frames/s, four outstanding | CPU, µs a frame |\n|---|---|---|---|---|\n",
    );
    for streams in STREAMS {
        let _ = writeln!(table, "| {} streams | {} |", number(streams as f64), many("growth", streams));
    }
    for edges in EDGES {
        let all = many(&format!("{edges} edges"), SHARED);
        let _ = writeln!(table, "| {shared} streams, edges that share one CPU: {edges} | {all} |");
    }
    let _ = writeln!(
        table,
        "| {shared} streams, an edge of two threads on both CPUs | {} |",
        many("2 threads", SHARED)
    );
    let _ =
        writeln!(table, "\n| {shared} streams in threads of | frames/s | CPU, µs a frame |\n|---|---|---|");
    for members in MEMBERS {
        let cell = |what: &str| spread(figures.spread("members", &format!("members {members} {what}")));
        let _ = writeln!(table, "| {} members | {} | {} |", number(members as f64), cell("/s"), cell("cpu"));
    }
    table
}

/// Whether anything went wrong anywhere.
pub(super) fn correct(figures: &Figures) -> String {
    let mut servers: Vec<&str> = figures.all.iter().map(|figure| figure.server.as_str()).collect();
    servers.sort_unstable();
    servers.dedup();
    let mut table = String::from(
        "| | lost | lost in the storm | doubled, reordered or foreign | refused |\n|---|---|---|---|---|\n",
    );
    for server in servers {
        let sum = |name: &str| {
            let of = figures.all.iter().filter(|f| f.server == server && f.name == name);
            number(of.map(|f| f.value).sum())
        };
        let _ = writeln!(
            table,
            "| {server} | {} | {} | {} | {} |",
            sum("lost"),
            sum("storm lost"),
            sum("wrong"),
            sum("refused")
        );
    }
    table
}

/// `median (least..most)`.
pub(super) fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => String::from("–"),
        Some(Spread { median, count: 1, .. }) => number(median),
        Some(Spread { median, least, most, .. }) => {
            format!("{} ({}..{})", number(median), number(least), number(most))
        }
    }
}

/// Three digits, and commas.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 {
        return String::from("0");
    }
    if value.abs() < 100.0 {
        let digits = if value.abs() < 10.0 { 2 } else { 1 };
        let text = format!("{value:.digits$}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_commas() {
        let all = [0.0, 0.456, 9.999, 12.34, 100.4, 18_000.0, 1_234_567.0].map(number);
        assert_eq!(all, ["0", "0.46", "10", "12.3", "100", "18,000", "1,234,567"]);
    }
}

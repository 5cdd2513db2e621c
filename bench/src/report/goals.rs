//! What Runnel is held to.

use std::fmt::Write as _;

use super::tables::{number, spread};
use crate::figures::{Figures, Spread};

/// One goal.
struct Goal {
    what: &'static str,
    server: &'static str,
    name: &'static str,
    how: How,
    bound: Bound,
    least: f64,
    stretch: Option<f64>,
}

#[derive(Clone, Copy)]
enum How {
    /// The figure itself.
    Itself,
    /// Its ratio to raw.
    OfRaw,
    /// How far it is above raw.
    AboveRaw,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    AtMost,
    AtLeast,
}

use Bound::{AtLeast, AtMost};
use How::{AboveRaw, Itself, OfRaw};

const fn goal(
    what: &'static str,
    name: &'static str,
    how: How,
    bound: Bound,
    least: f64,
    stretch: Option<f64>,
) -> Goal {
    Goal { what, server: "Runnel", name, how, bound, least, stretch }
}

const GOALS: [Goal; 15] = [
    goal("KiB of process a stream at rest", "rest KiB", Itself, AtMost, 2.5, Some(1.2)),
    goal("1 → 1,000 streams, one at a time / raw", "many 1000 w1 /s", OfRaw, AtLeast, 0.75, Some(0.9)),
    goal("1 → 10,000 streams, one at a time / raw", "many 10000 w1 /s", OfRaw, AtLeast, 0.75, Some(0.9)),
    goal("1 → 1,000 streams, four outstanding / raw", "many 1000 w4 /s", OfRaw, AtLeast, 1.7, Some(2.2)),
    goal("1 → 10,000 streams, four outstanding / raw", "many 10000 w4 /s", OfRaw, AtLeast, 2.0, Some(3.0)),
    goal("1 → 1 of 10,000, closed loop / raw", "one closed /s", OfRaw, AtLeast, 0.5, Some(0.8)),
    goal("p99 at 5,000/s above raw's, ms", "one 5000 p99 ms", AboveRaw, AtMost, 3.0, Some(1.0)),
    goal("storm of 5,000 / raw", "storm ms", OfRaw, AtMost, 2.0, Some(1.2)),
    goal("lost in the storm", "storm lost", Itself, AtMost, 0.0, None),
    goal("1,000 deaf: kernel, MiB", "deaf kernel MiB", Itself, AtMost, 80.0, None),
    goal("1,000 deaf: process, MiB", "deaf process MiB", Itself, AtMost, 5.0, None),
    goal("1,000 deaf: rate the others keep", "deaf others", Itself, AtLeast, 0.8, None),
    goal("CPU of 10,000 at rest / raw", "rest cpu %", OfRaw, AtMost, 1.3, None),
    Goal {
        server: "runnel on a file",
        ..goal("`runnel`: 1:1 messages/s on a file", "e2e /s", Itself, AtLeast, 300.0, None)
    },
    Goal {
        server: "runnel on a file",
        ..goal("`runnel`: p99 at 50/s, ms", "e2e p99 ms", Itself, AtMost, 50.0, None)
    },
];

impl Goal {
    fn measured(&self, figures: &Figures) -> Option<Spread> {
        match self.how {
            How::Itself => figures.spread(self.server, self.name),
            How::OfRaw => figures.ratio(self.server, self.name),
            How::AboveRaw => figures.excess(self.server, self.name),
        }
    }

    fn verdict(&self, median: f64) -> &'static str {
        let meets = |bound: f64| match self.bound {
            AtMost => median <= bound,
            AtLeast => median >= bound,
        };
        match (meets(self.least), self.stretch.map(meets)) {
            (true, Some(true)) => "met, and the stretch",
            (true, _) => "met",
            (false, _) => "**missed**",
        }
    }
}

/// Every goal, and what became of it.
pub(super) fn table(figures: &Figures) -> String {
    let mut table = String::from("| | goal | stretch | measured | |\n|---|---|---|---|---|\n");
    for goal in &GOALS {
        let sign = if goal.bound == AtMost { "≤" } else { "≥" };
        let stretch = goal.stretch.map_or(String::new(), |stretch| format!("{sign} {}", number(stretch)));
        let measured = goal.measured(figures);
        let verdict = measured.map_or("not measured", |measured| goal.verdict(measured.median));
        let (what, least, measured) = (goal.what, number(goal.least), spread(measured));
        let _ = writeln!(table, "| {what} | {sign} {least} | {stretch} | {measured} | {verdict} |");
    }
    table
}

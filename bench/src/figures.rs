//! What was measured: one number a server, repetition and name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) server: String,
    pub(crate) repetition: u32,
    pub(crate) name: String,
    pub(crate) value: f64,
}

/// All numbers of a run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// The machine, and when.
    pub(crate) machine: String,
    pub(crate) all: Vec<Figure>,
}

/// Median, least and most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// How many there are.
    pub(crate) count: usize,
}

impl Figures {
    pub(crate) fn add(&mut self, server: &str, repetition: u32, name: &str, value: f64) {
        let (server, name) = (server.to_owned(), name.to_owned());
        self.all.push(Figure { server, repetition, name, value });
    }

    fn of(&self, server: &str, name: &str) -> BTreeMap<u32, f64> {
        let wanted = self.all.iter().filter(|f| f.server == server && f.name == name);
        wanted.map(|f| (f.repetition, f.value)).collect()
    }

    /// A figure over all repetitions.
    pub(crate) fn spread(&self, server: &str, name: &str) -> Option<Spread> {
        Spread::of(self.of(server, name).into_values().collect())
    }

    /// The ratios of a figure to raw's of the same repetition.
    pub(crate) fn ratio(&self, server: &str, name: &str) -> Option<Spread> {
        let raw = self.of("raw", name);
        let ratios = self.of(server, name).into_iter().filter_map(|(repetition, value)| {
            raw.get(&repetition).filter(|raw| **raw != 0.0).map(|raw| value / raw)
        });
        Spread::of(ratios.collect())
    }

    /// The differences to raw's of the same repetition.
    pub(crate) fn excess(&self, server: &str, name: &str) -> Option<Spread> {
        let raw = self.of("raw", name);
        let over = self.of(server, name).into_iter();
        Spread::of(over.filter_map(|(n, value)| raw.get(&n).map(|raw| value - raw)).collect())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = match values.len() {
            0 => return None,
            count if count % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Self { median, least: values[0], most: values[values.len() - 1], count: values.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_to_raw_of_the_same_repetition() {
        let mut figures = Figures::default();
        for (repetition, raw, own) in [(1, 100.0, 50.0), (2, 10.0, 20.0), (3, 1.0, 1.0)] {
            figures.add("raw", repetition, "x", raw);
            figures.add("Runnel", repetition, "x", own);
        }
        let ratio = figures.ratio("Runnel", "x").unwrap();
        assert_eq!(ratio, Spread { median: 1.0, least: 0.5, most: 2.0, count: 3 });
        let own = Spread { median: 20.0, least: 1.0, most: 50.0, count: 3 };
        assert_eq!(figures.spread("Runnel", "x"), Some(own));
        let excess = Spread { median: 0.0, least: -50.0, most: 10.0, count: 3 };
        assert_eq!(figures.excess("Runnel", "x"), Some(excess));
        assert_eq!(figures.ratio("nchan", "x"), None);
    }
}

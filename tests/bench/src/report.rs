//! The tables.

use std::fs;

use anyhow::Context as _;

use crate::{figures::Figures, run};

/// Reads the figures of the last run.
pub(crate) fn kept() -> anyhow::Result<Figures> {
    let path = run::path()?;
    let text = fs::read_to_string(&path).with_context(|| format!("no figures at {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes the tables.
pub(crate) fn told(figures: &Figures, quick: bool) -> anyhow::Result<()> {
    let mut names: Vec<(&str, &str)> =
        figures.all.iter().map(|f| (f.server.as_str(), f.name.as_str())).collect();
    names.sort_unstable();
    names.dedup();
    for (server, name) in names {
        let (spread, ratio) = (figures.spread(server, name), figures.ratio(server, name));
        if let Some(s) = spread {
            eprintln!(
                "{server:18} {name:24} {:12.2} ({:.2}..{:.2}) x{:.2}",
                s.median,
                s.least,
                s.most,
                ratio.map_or(0.0, |r| r.median)
            );
        }
    }
    let _ = quick;
    Ok(())
}

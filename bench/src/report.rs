//! Writes the tables of `docs/PERFORMANCE.md`, each between its two marks, and says whether anything
//! was lost.

use std::fs;

use anyhow::{Context as _, bail, ensure};

use crate::{figures::Figures, run};

mod goals;
mod tables;

/// The page.
const PAGE: &str = "docs/PERFORMANCE.md";

/// Reads the figures of the last run.
pub(crate) fn kept() -> anyhow::Result<Figures> {
    let path = run::path()?;
    let text = fs::read_to_string(&path).with_context(|| format!("no figures at {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// Writes the tables into the page; after a quick run it only shows them.
pub(crate) fn told(figures: &Figures, quick: bool) -> anyhow::Result<()> {
    let tables = tables(figures);
    if quick {
        for (name, table) in &tables {
            eprintln!("\n## {name}\n\n{table}");
        }
    } else {
        let mut page =
            fs::read_to_string(PAGE).with_context(|| format!("no {PAGE}; run it from the root"))?;
        for (name, table) in &tables {
            page = put(&page, name, table)?;
        }
        fs::write(PAGE, page)?;
        run::say(&format!("wrote the tables of {PAGE}"));
    }
    nothing_lost(figures)
}

fn tables(figures: &Figures) -> [(&'static str, String); 6] {
    [
        ("machine", format!("{}\n", figures.machine)),
        ("goals", goals::table(figures)),
        ("servers", tables::servers(figures)),
        ("end to end", tables::end_to_end(figures)),
        ("growth", tables::growth(figures)),
        ("correct", tables::correct(figures)),
    ]
}

/// Puts a table between the marks of its name.
fn put(page: &str, name: &str, table: &str) -> anyhow::Result<String> {
    let (begin, end) =
        (format!("<!-- {name}: written by `tests/run bench` -->\n"), format!("<!-- end of {name} -->"));
    let marks = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let Some((before, after)) = marks else { bail!("{PAGE} has no marks for `{name}`") };
    Ok(format!("{before}{begin}\n{table}\n{end}{after}"))
}

/// Runnel, and whoever keeps a history, must lose nothing; nobody may double or reorder.
fn nothing_lost(figures: &Figures) -> anyhow::Result<()> {
    for figure in &figures.all {
        let no_history = figure.server == "naive axum" && figure.name == "storm lost";
        let judged = ["lost", "storm lost", "wrong"].contains(&figure.name.as_str()) && !no_history;
        let (server, name, value) = (&figure.server, &figure.name, figure.value);
        ensure!(!judged || value == 0.0, "{server}: {name} {value}, in repetition {}", figure.repetition);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_replaces_what_stands_between_its_marks() {
        let page = "a\n<!-- x: written by `tests/run bench` -->\nold\n<!-- end of x -->\nz\n";
        let once = put(page, "x", "| new |").unwrap();
        assert!(once.starts_with("a\n") && once.ends_with("-->\nz\n") && !once.contains("old"), "{once}");
        assert_eq!(put(&once, "x", "| new |").unwrap(), once);
        assert!(put(page, "y", "").is_err());
    }

    #[test]
    fn a_message_that_is_lost_is_not_passed_over() {
        let mut figures = Figures::default();
        figures.add("naive axum", 1, "storm lost", 500.0);
        assert!(nothing_lost(&figures).is_ok());
        figures.add("Runnel", 1, "lost", 1.0);
        assert!(nothing_lost(&figures).is_err());
    }
}

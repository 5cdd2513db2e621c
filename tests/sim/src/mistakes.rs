//! Mistakes that the simulator has to catch: each takes a rule away or bends it.
//!
//! They are planted in a copy of the tree, all at once and each behind a switch, so that one build
//! serves for all; the code that ships knows nothing of them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

mod shown;
mod written;

/// A mistake.
struct Mistake {
    name: &'static str,
    /// The rule of the protocol that it breaks.
    rule: &'static str,
    file: &'static str,
    /// Code that keeps the rule, as it stands in the file, once; and what breaks it when `MISTAKEN`.
    edits: &'static [(&'static str, &'static str)],
}

/// The switch, which only the copy has.
const SWITCH: &str = r#"
/// Whether this mistake is to be made.
pub fn mistaken(name: &str) -> bool {
    static MADE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    MADE.get_or_init(|| std::env::var("RUNNEL_MISTAKE").unwrap_or_default()) == name
}
"#;

/// Every mistake.
fn all() -> impl Iterator<Item = &'static Mistake> {
    written::MISTAKES.iter().chain(shown::MISTAKES)
}

/// Plants all mistakes, and looks for a seed among the first `seeds` that catches each. Answers
/// whether all were caught.
pub(crate) fn catch_all(only: Option<&str>, seeds: u64, threads: u64) -> Result<bool, String> {
    let root = root()?;
    let tool = build(&plant(&root)?)?;
    let (mut caught, mut tried) = (0, 0);
    println!("| mistake | rule | caught by seed | because |\n|---|---|---|---|");
    for mistake in all().filter(|mistake| only.is_none_or(|only| only == mistake.name)) {
        tried += 1;
        let found = Command::new(&tool)
            .args([
                "--from",
                "1",
                "--seeds",
                &seeds.to_string(),
                "--threads",
                &threads.to_string(),
                "--until-wrong",
            ])
            .env("RUNNEL_MISTAKE", mistake.name)
            .stderr(Stdio::null())
            .output()
            .map_err(|e| format!("could not run {}: {e}", tool.display()))?;
        let said = String::from_utf8_lossy(&found.stdout);
        let first = said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(": "));
        match first {
            Some((seed, why)) => {
                caught += 1;
                println!("| {} | {} | {seed} | {} |", mistake.name, mistake.rule, short(why));
            }
            None => println!("| {} | {} | **none of {seeds}** | |", mistake.name, mistake.rule),
        }
    }
    println!("\n{caught} of {tried} mistakes are caught");
    Ok(caught == tried)
}

/// The beginning of a verdict, fit for a table.
fn short(why: &str) -> String {
    let why = why.split_once("first: ").map_or(why, |(_, first)| first);
    why.chars().take(90).filter(|c| *c != '|').collect()
}

fn root() -> Result<PathBuf, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(Path::to_owned).ok_or_else(|| "no workspace above tests/sim".into())
}

/// Copies the tree and plants the mistakes in the copy.
fn plant(root: &Path) -> Result<PathBuf, String> {
    let copy = root.join("target/mistakes");
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root).output();
    let listed = listed.map_err(|e| format!("the files of the tree are listed by git: {e}"))?;
    for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
        let (from, to) = (root.join(name), copy.join(name));
        let text = fs::read(&from).map_err(|e| format!("could not read {}: {e}", from.display()))?;
        write(&to, &planted(name, text)?)?;
    }
    Ok(copy)
}

fn planted(name: &str, text: Vec<u8>) -> Result<Vec<u8>, String> {
    if name == "crates/chance/src/lib.rs" {
        return Ok([&text, SWITCH.as_bytes()].concat());
    }
    let mut mistakes = all().filter(|mistake| mistake.file == name).peekable();
    if mistakes.peek().is_none() {
        return Ok(text);
    }
    let mut text = String::from_utf8(text).map_err(|e| format!("{name} is no text: {e}"))?;
    for mistake in mistakes {
        let switch = format!("chance::mistaken({:?})", mistake.name);
        for (right, wrong) in mistake.edits {
            if text.matches(right).count() != 1 {
                return Err(format!(
                    "the mistake `{}` does not fit {name} any more: mend it in tests/sim/src/mistakes",
                    mistake.name
                ));
            }
            text = text.replace(right, &wrong.replace("MISTAKEN", &switch));
        }
    }
    Ok(text.into())
}

/// Leaves files alone that have not changed, so that little is built anew.
fn write(path: &Path, text: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let folder = path.parent().expect("a file is in a folder");
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|e| format!("could not write {}: {e}", path.display()))
}

fn build(copy: &Path) -> Result<PathBuf, String> {
    // Not in the tree's own folder: cargo would take the copy's code for the tree's.
    let target = copy.join("target");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--package", "sim", "--target-dir"])
        .arg(&target)
        .current_dir(copy)
        .status();
    match built {
        Ok(status) if status.success() => Ok(target.join("debug/sim")),
        other => Err(format!("the copy with the mistakes does not build: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_fits_the_code_that_ships() {
        let root = root().expect("a workspace");
        for mistake in all() {
            let text = fs::read(root.join(mistake.file)).expect("the file of a mistake");
            planted(mistake.file, text).expect("a mistake that fits");
        }
    }
}

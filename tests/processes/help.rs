//! `--help` is the reference of every setting.

use std::{collections::BTreeSet, fs, path::Path};

use tests::process::run;

const HELPS: [&[&str]; 11] = [
    &["runnel"],
    &["runnel", "send"],
    &["runnel", "tail"],
    &["runnel", "token"],
    &["runnel", "edge"],
    &["runnel", "emulators"],
    &["runnel", "api"],
    &["runnel", "fanout"],
    &["runnel", "repair"],
    &["sse-edge"],
    &["api"],
];

#[tokio::test]
async fn help_names_every_variable_that_the_code_knows() {
    let mut told = BTreeSet::new();
    for words in HELPS {
        let help = help(words).await;
        variables(&help, &mut told);
        let logs = !matches!(words, ["runnel", "send" | "tail" | "token"]);
        assert_eq!(help.contains("RUNNEL_LOG"), logs, "{words:?}: {help}");
    }
    let mut known = BTreeSet::new();
    for folder in ["api-lambda/src", "crates", "sse-edge/src"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut known);
    }
    assert!(known.len() > 10, "{known:?}");
    assert_eq!(told, known);
}

#[tokio::test]
async fn the_edge_has_one_set_of_settings() {
    let settings = async |words: &[&str]| {
        let help = help(words).await;
        help.split_once("Options:").expect("there are options").1.to_owned()
    };
    assert_eq!(settings(&["runnel", "edge"]).await, settings(&["sse-edge"]).await);
}

#[tokio::test]
async fn both_sides_of_a_deployment_agree_on_what_they_share() {
    let (api, edge, lambda) =
        (help(&["runnel", "api"]).await, help(&["sse-edge"]).await, help(&["api"]).await);
    for setting in ["RUNNEL_TABLE", "RUNNEL_STAGE", "RUNNEL_JWT_SECRET", "RUNNEL_JWKS_URL"] {
        let [api, edge, lambda] = [&api, &edge, &lambda].map(|help| default(help, setting));
        assert_eq!((&api, &api), (&edge, &lambda), "{setting}");
    }
}

async fn help(words: &[&str]) -> String {
    let mut args = words[1..].to_vec();
    args.push("--help");
    let said = run(words[0], &args).await;
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    String::from_utf8(said.stdout).unwrap()
}

/// The default that a help text gives after the name of a variable.
fn default(help: &str, variable: &str) -> Option<String> {
    // A line may end anywhere.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let rest = help.split_once(variable).expect("the help names it").1;
    let rest = rest.split("[env:").next().unwrap();
    Some(rest.split_once("[default: ")?.1.split_once(']')?.0.to_owned())
}

fn variables(text: &str, into: &mut BTreeSet<String>) {
    for part in text.split("RUNNEL_").skip(1) {
        let name = part.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap();
        into.insert(format!("RUNNEL_{name}"));
    }
}

fn sources(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            variables(&fs::read_to_string(path).unwrap(), into);
        }
    }
}

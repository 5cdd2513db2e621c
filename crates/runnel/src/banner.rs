//! What a person sees who has started something.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are the words of a command to the person who gave it"
)]

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use store::table::TABLE;

use crate::{cli::DATA_DIR, dev::ByName};

/// The whole service is up. `data_dir` is absent where all data is in memory. `has_own_tokens` says that `runnel token` makes
/// tokens that count.
pub fn serving(address: SocketAddr, by_name: &ByName, data_dir: Option<&Path>, has_own_tokens: bool) {
    println!("Runnel serves on http://{address}");
    let Some(data_dir) = data_dir else {
        println!(
            "Version {}. Data is in memory and is lost on exit. Ctrl+C stops.",
            env!("CARGO_PKG_VERSION")
        );
        page(address, by_name);
        println!(
            "\n`runnel send` and `runnel tail` need a data folder: start without --ephemeral to use them."
        );
        return;
    };
    println!(
        "Version {}. Data is in `{}` and stays there. Ctrl+C stops.",
        env!("CARGO_PKG_VERSION"),
        data_dir.display()
    );
    page(address, by_name);
    let runnel = program();
    if !has_own_tokens {
        println!("\n`{runnel} --help` lists every command and setting.");
        return;
    }
    let (at, folder) = (at(address), folder(data_dir));
    println!("\nOr paste each of these lines into another terminal, in this folder:\n");
    println!("  {runnel} tail bob{at}{folder}");
    println!("  {runnel} send alice bob \"hi\"{at}{folder}");
    println!(
        "  curl -N {} -H \"Authorization: Bearer $({runnel} token bob{folder})\"",
        word(Path::new(&format!("http://{}/v1/events", reachable(address))))
    );
    println!("\n`{runnel} --help` lists every command and setting.");
}

/// How to sign in on the page.
fn page(address: SocketAddr, by_name: &ByName) {
    match by_name {
        ByName::With(word) => {
            println!("\nOpen this link in two browser windows and sign in as two users:\n");
            println!("  http://{address}/#word={}", word.as_str());
        }
        ByName::Anybody => println!(
            "\nOpen the page in two browser windows and sign in as two users. Whoever reaches it may be anybody (--dev)."
        ),
        ByName::Nobody => println!("\nSign-in by name works on loopback addresses only."),
        ByName::Provider => println!("\nUsers sign in with tokens of your identity provider."),
    }
}

/// How this program is called from this folder: by its name where the shell finds it, else by its path.
fn program() -> String {
    let Ok(own) = env::current_exe() else { return "runnel".into() };
    let found = env::var_os("PATH").and_then(|paths| {
        let mut candidates = env::split_paths(&paths).map(|folder| folder.join("runnel"));
        candidates.find(|path| path.is_file())
    });
    if found.is_some_and(|found| found.canonicalize().is_ok_and(|found| found == own)) {
        return "runnel".into();
    }
    let beneath = env::current_dir().ok().and_then(|here| own.strip_prefix(here).ok().map(PathBuf::from));
    match beneath {
        // Without a slash, a shell would look for it in PATH.
        Some(path) if path.components().count() == 1 => word(&Path::new(".").join(path)),
        Some(path) => word(&path),
        None => word(&own),
    }
}

/// An address that a client on this machine reaches.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
    } else {
        address
    }
}

/// The option that names the server, unless its address is the default.
fn at(address: SocketAddr) -> String {
    match reachable(address) {
        address if address == SocketAddr::from(([127, 0, 0, 1], 8080)) => String::new(),
        address => format!(" --url {}", word(Path::new(&format!("http://{address}")))),
    }
}

/// The option that names the data folder, unless it is the default.
fn folder(data_dir: &Path) -> String {
    if data_dir == Path::new(DATA_DIR) { String::new() } else { format!(" --data-dir {}", word(data_dir)) }
}

/// A path as one word of a shell.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%,:=".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// The API is up as a process of its own.
pub fn api(address: SocketAddr) {
    println!("Runnel's API serves on http://{address}");
}

/// The fan-out is up as a process of its own.
pub fn fanout(stage: &str) {
    println!("Runnel's fan-out works for the stage `{stage}`");
}

/// The emulators are up.
pub fn emulators(address: SocketAddr, table: &str) {
    let table = if table == TABLE { String::new() } else { format!(" RUNNEL_TABLE={table}") };
    println!(
        "export AWS_ENDPOINT_URL=http://{address} AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local{table}"
    );
}

/// A token, and nothing else.
pub fn token(token: &str) {
    println!("{token}");
}

/// A message that was sent, as the server answered it.
pub fn message(message: &str) {
    println!("{message}");
}

/// A request failed. It is tried again.
pub fn retrying(after: Duration) {
    eprintln!("no answer yet: retrying in {:.1} s", after.as_secs_f64());
}

/// A stream ended. A new one follows.
pub fn reconnecting(after: Duration) {
    eprintln!("disconnected: reconnecting in {:.1} s", after.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        for (path, expected) in
            [("target/release/runnel", "target/release/runnel"), ("my chat/it's", r"'my chat/it'\''s'")]
        {
            assert_eq!(word(Path::new(path)), expected);
        }
    }

    #[test]
    fn only_what_differs_from_the_default_is_named() {
        let port = |port| SocketAddr::from(([127, 0, 0, 1], port));
        assert_eq!((at(port(8080)), folder(Path::new(".runnel"))), (String::new(), String::new()));
        assert_eq!(at(port(9000)), " --url http://127.0.0.1:9000");
        assert_eq!(at("0.0.0.0:9000".parse().unwrap()), " --url http://127.0.0.1:9000");
        assert_eq!(folder(Path::new("/srv/chat")), " --data-dir /srv/chat");
    }
}

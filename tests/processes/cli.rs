//! What a person is told who gives a command, well or badly.

use std::{fs, process::Stdio};

use tests::process::{Folder, Running, program, run};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{ChildStdout, Command},
};

const SECRET: &str = "RUNNEL_JWT_SECRET=a secret of more than 32 characters";
const NOWHERE: &str = "AWS_ENDPOINT_URL=http://127.0.0.1:1";

#[tokio::test]
async fn a_mistake_is_told_in_one_sentence_that_says_what_to_do() {
    let folder = Folder::new();
    fs::write(folder.at("file"), "").unwrap();
    for (name, file, content) in
        [("no-database", "runnel.db", "x".repeat(5_000)), ("no-secret", "secret", "short".into())]
    {
        fs::create_dir(folder.at(name)).unwrap();
        fs::write(folder.at(name).join(file), content).unwrap();
        fs::write(folder.at(name).join("layout"), "2").unwrap();
    }
    fs::create_dir(folder.at("old")).unwrap();
    fs::write(folder.at("old").join("runnel.db"), "").unwrap();
    let at = |name: &str| format!("--listen 127.0.0.1:0 --data-dir {}", folder.at(name).display());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("--listen {}", taken.local_addr().unwrap());
    let [file, old, no_database, no_secret] = ["file", "old", "no-database", "no-secret"].map(at);
    let new = folder.at("new").display().to_string();
    let no_server = format!("--url http://127.0.0.1:1 --data-dir {}", folder.at("served").display());
    run("runnel", &["token", "alice", "--data-dir", folder.at("served").to_str().unwrap()]).await;
    for (words, variables, code, advice) in [
        (format!("runnel --ephemeral {listen}"), vec![], 1, "choose another with `--listen`"),
        (format!("runnel emulators {listen} --data-dir {new}"), vec![], 1, "with --listen"),
        (format!("runnel api {listen}"), vec![SECRET, NOWHERE], 1, "choose another with `--listen`"),
        (format!("sse-edge {listen}"), vec![SECRET, NOWHERE], 1, "choose another with `--listen`"),
        ("runnel --ephemeral --listen 192.0.2.1:80".into(), vec![], 1, "choose another address"),
        (format!("runnel {file}"), vec![], 1, "is a file: choose a folder with --data-dir"),
        ("runnel token alice --data-dir /dev/null/x".into(), vec![], 1, "with --data-dir"),
        (format!("runnel {old}"), vec![], 1, "written by another version of Runnel"),
        (format!("runnel {no_database}"), vec![], 1, "restore a copy of it, or move it away"),
        (format!("runnel emulators {no_database}"), vec![], 1, "restore a copy of it, or move it away"),
        (format!("runnel {no_secret}"), vec![], 1, "delete it, then sign in again"),
        (format!("runnel emulators --listen 0.0.0.0:0 --data-dir {new}"), vec![], 1, "127.0.0.1:4566"),
        ("runnel api --listen 127.0.0.1:0".into(), vec![], 1, "set `RUNNEL_JWKS_URL`"),
        ("sse-edge --listen 127.0.0.1:0".into(), vec!["RUNNEL_JWT_SECRET=short"], 1, "openssl rand"),
        ("sse-edge --listen 127.0.0.1:0".into(), vec![SECRET, NOWHERE], 1, "check the endpoint"),
        ("runnel api --listen 127.0.0.1:0".into(), vec![SECRET, NOWHERE], 1, "check the endpoint"),
        ("runnel fanout".into(), vec![NOWHERE], 1, "check the endpoint"),
        ("runnel repair".into(), vec![NOWHERE], 1, "check the endpoint"),
        ("api".into(), vec![SECRET], 1, "use `runnel api`"),
        ("runnel api --listen 0".into(), vec![SECRET, "AWS_REGION="], 1, "set `AWS_REGION`"),
        ("runnel token al#ice".into(), vec![], 2, "1 to 128 characters"),
        ("runnel token alice --hours 0".into(), vec![], 2, "1..=8760"),
        ("runnel --listen here".into(), vec![], 2, "write a port such as `8080`"),
        ("runnel edge --listen :http".into(), vec![], 2, "write a port such as `8080`"),
        ("runnel edge --listen 127.0.0.1:0".into(), vec![SECRET, NOWHERE], 1, "check the endpoint"),
        (format!("runnel send alice bob hi {no_server}"), vec![], 1, "start `runnel`"),
        (format!("runnel tail alice {no_server}"), vec![], 1, "start `runnel`"),
        (format!("runnel send alice bob hi --data-dir {new}"), vec![], 1, "name the folder of the server"),
        ("runnel tail alice --url https://chat.example".into(), vec![], 2, "such as `http://127.0.0.1:8080`"),
        ("runnel --inbox-days 0".into(), vec![], 2, "1..=365"),
        ("runnel --queues mine".into(), vec![], 2, "per-user, per-edge"),
        ("runnel fanout --stage Dev".into(), vec![], 2, "1 to 12 of a-z 0-9"),
        ("sse-edge --stage Dev".into(), vec![], 2, "1 to 12 of a-z 0-9"),
        ("sse-edge --retry-ms 5".into(), vec![], 2, "such as `2000-10000`"),
        ("runnel nonsense".into(), vec![], 2, "--help"),
    ] {
        is_told(&words, &variables, code, advice).await;
    }
}

async fn is_told(words: &str, variables: &[&str], code: i32, advice: &str) {
    let mut words_of = words.split(' ');
    let mut command = program(words_of.next().unwrap());
    command.args(words_of).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "local").env("AWS_SECRET_ACCESS_KEY", "local");
    command.envs(variables.iter().map(|pair| pair.split_once('=').unwrap()));
    let said = tokio::time::timeout(client::PATIENCE, command.output()).await.expect(words).unwrap();
    let [stdout, stderr] = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!((said.status.code(), stdout.as_str()), (Some(code), ""), "{words}: {stderr}");
    assert!(stderr.contains(advice), "{words}: {stderr}");
    // What clap says ends with a word on --help.
    let lines = if code == 2 { 1..=7 } else { 1..=1 };
    assert!(lines.contains(&stderr.lines().count()), "{words}: {stderr}");
}

#[tokio::test]
async fn a_folder_that_is_served_from_is_told_to_be_in_use() {
    let folder = Folder::new();
    let mut first = Running::serving(serve(&folder)).await;
    for words in
        ["runnel --listen 127.0.0.1:0 --data-dir", "runnel emulators --listen 127.0.0.1:0 --data-dir"]
    {
        is_told(&format!("{words} {}", folder.text()), &[], 1, "choose another folder with --data-dir").await;
    }
    first.kill().await;
    let mut second = Running::serving(serve(&folder)).await;
    assert!(second.stop().await.success(), "the lock dies with its holder");
}

#[tokio::test]
async fn a_full_disk_is_told_in_one_sentence() {
    let folder = Folder::new();
    let path = program("runnel").as_std().get_program().to_owned();
    // A disk of its own, which goes with its only process.
    let script =
        r#"mount -t tmpfs -o "size=$1" tmpfs "$2" && exec "$0" --listen 127.0.0.1:0 --data-dir "$2/data""#;
    for size in ["4k", "16k"] {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
        command.arg(&path).args([size, folder.text()]).kill_on_drop(true);
        let said = tokio::time::timeout(client::PATIENCE, command.output()).await.unwrap().unwrap();
        let stderr = String::from_utf8(said.stderr).unwrap();
        if stderr.starts_with("unshare") || stderr.starts_with("mount") {
            return println!("SKIPPED: this system lets no process have a disk of its own: {stderr}");
        }
        assert!(!said.status.success() && stderr.lines().count() == 1, "{size}: {stderr}");
        assert!(stderr.contains("--data-dir") && !stderr.contains("restore"), "{size}: {stderr}");
    }
}

#[tokio::test]
async fn a_token_is_printed_and_nothing_else() {
    let folder = Folder::new();
    let said = run("runnel", &["token", "alice", "--data-dir", folder.text()]).await;
    assert!(said.status.success() && said.stderr.is_empty(), "{said:?}");
    let token = String::from_utf8(said.stdout).unwrap();
    let parts: Vec<&str> = token.strip_suffix('\n').unwrap().split('.').collect();
    let of_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(parts.len() == 3 && parts.iter().all(|part| part.chars().all(of_base64)), "{token}");
}

#[tokio::test]
async fn the_three_lines_of_the_banner_work_as_pasted() {
    let folder = Folder::new();
    let mut runnel = Running::serving(serve(&folder)).await;
    let mut lines = Vec::new();
    while lines.len() < 4 {
        let line = runnel.line().await.expect("the banner goes on");
        lines.extend(line.strip_prefix("  ").map(str::to_owned));
    }
    // The first one is for browsers.
    assert!(lines.remove(0).contains("/#word="), "{lines:?}");
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        // Without a shell in between, which would leave the program behind.
        command.args(["-c", &format!("exec {line}")]).kill_on_drop(true);
        command
    };
    let mut streams = Vec::new();
    for line in [&lines[0], &lines[2]] {
        let mut stream = shell(line).stdout(Stdio::piped()).spawn().unwrap();
        let mut frames = BufReader::new(stream.stdout.take().unwrap()).lines();
        shows(&mut frames, "event: hello").await;
        streams.push((stream, frames));
    }
    let message = shell(&lines[1]).output().await.unwrap();
    assert!(String::from_utf8(message.stdout).unwrap().contains(r#""text":"hi""#), "{lines:?}");
    for (_, frames) in &mut streams {
        shows(frames, r#""text":"hi""#).await;
    }
}

#[tokio::test]
async fn who_keeps_nothing_can_sign_in_as_well() {
    let mut command = program("runnel");
    command.args(["--ephemeral", "--listen", "127.0.0.1:0"]);
    let mut runnel = Running::serving(command).await;
    while !runnel.line().await.expect("the banner names the link").contains("/#word=") {}
}

async fn shows(frames: &mut Lines<BufReader<ChildStdout>>, part: &str) {
    let line = async {
        loop {
            let line = frames.next_line().await.unwrap().expect("the stream goes on");
            if line.contains(part) {
                return;
            }
        }
    };
    tokio::time::timeout(client::PATIENCE, line).await.expect(part);
}

#[tokio::test]
async fn a_port_alone_is_an_address_to_listen_on() {
    for listen in ["0", ":0", "localhost:0"] {
        let mut command = program("runnel");
        command.args(["--ephemeral", "--listen", listen]);
        assert!(Running::serving(command).await.address.ip().is_loopback(), "{listen}");
    }
}

fn serve(folder: &Folder) -> Command {
    let mut command = program("runnel");
    command.args(["--listen", "127.0.0.1:0", "--data-dir", folder.text()]);
    command
}

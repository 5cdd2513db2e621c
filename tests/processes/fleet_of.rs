//! A fleet on one machine: emulators, two APIs, a fan-out, two edges, each a process.

use std::{fs, net::SocketAddr};

use client::{http::Api, sse::Stream};
use tests::process::{Folder, Running, program, run};
use tokio::process::Command;

/// The processes, and how to start more.
pub(crate) struct Fleet {
    pub(crate) emulators: Running,
    pub(crate) apis: [Running; 2],
    pub(crate) fanout: Running,
    pub(crate) edges: [Running; 2],
    environment: Vec<(&'static str, String)>,
    folder: Folder,
}

impl Fleet {
    pub(crate) async fn start(topology: &str) -> Self {
        let folder = Folder::new();
        // Whichever command comes first makes the secret.
        run("runnel", &["token", "someone", "--data-dir", folder.text()]).await;
        let secret = fs::read_to_string(folder.at("secret")).unwrap();
        let mut command = program("runnel");
        command.args(["emulators", "--listen", "127.0.0.1:0", "--data-dir", folder.text()]);
        let emulators = Running::serving(command).await;
        // What `runnel emulators` and the README tell to export.
        let environment = vec![
            ("AWS_ENDPOINT_URL", format!("http://{}", emulators.address)),
            ("AWS_REGION", "us-east-1".into()),
            ("AWS_ACCESS_KEY_ID", "local".into()),
            ("AWS_SECRET_ACCESS_KEY", "local".into()),
            ("RUNNEL_JWT_SECRET", secret),
            ("RUNNEL_QUEUES", topology.into()),
            ("RUNNEL_DRAIN_SECONDS", "1".into()),
        ];
        let start = |name, args: &'static [&str]| Running::serving(part(&environment, name, args));
        let api = || start("runnel", &["api", "--listen", "127.0.0.1:0"]);
        let edge = || start("sse-edge", &["--listen", "127.0.0.1:0"]);
        let (apis, edges) = ([api().await, api().await], [edge().await, edge().await]);
        let mut fanout = Running::start(part(&environment, "runnel", &["fanout"]));
        assert_eq!(fanout.line().await.unwrap(), "Runnel's fan-out works for the stage `dev`");
        Self { emulators, apis, fanout, edges, environment, folder }
    }

    /// One more API, which finds DynamoDB elsewhere.
    pub(crate) async fn api_with_dynamodb_at(&self, address: SocketAddr) -> Running {
        let words = ["runnel", "api", "--listen", "127.0.0.1:0"];
        Running::serving(self.with_dynamodb_at(address, &words)).await
    }

    /// A program with arguments, which finds DynamoDB elsewhere.
    pub(crate) fn with_dynamodb_at(&self, address: SocketAddr, words: &[&str]) -> Command {
        let mut command = part(&self.environment, words[0], &words[1..]);
        command.env("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{address}"));
        command
    }

    pub(crate) async fn as_user(&self, api: usize, user: &str) -> Api {
        Api { address: self.apis[api].address, token: Some(self.token(user).await) }
    }

    pub(crate) async fn open(&self, edge: usize, user: &str, cursor: Option<&str>) -> Stream {
        Stream::open(self.edges[edge].address, &self.token(user).await, cursor).await
    }

    async fn token(&self, user: &str) -> String {
        let made = run("runnel", &["token", user, "--data-dir", self.folder.text()]).await;
        String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
    }
}

fn part(environment: &[(&str, String)], name: &str, args: &[&str]) -> Command {
    let mut command = program(name);
    command.args(args).envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

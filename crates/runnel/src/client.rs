//! The commands that use a running server as one of its users: `runnel send` and `runnel tail`.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use domain::ids::UserId;
use http::{Method, Request, Response, StatusCode, Uri, header, request, uri::Authority};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use server::{
    auth::{AuthConfig, mint::Minter},
    clock::Clock,
};
use tokio::time::timeout;

use crate::{cli::DATA_DIR, data_dir::DataDir};

pub mod send;
pub mod tail;

/// From a request to the head of its answer, or to the end of a short answer.
const ANSWER_IN: Duration = Duration::from_secs(15);
/// Longest pause that a server can ask for before a retry.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Largest answer that is read whole, in bytes: a message of 16 KiB whose every character is escaped.
const ANSWER_BYTES: usize = 128 * 1024;

/// Where a server is, and the folder of the secret that it accepts tokens by.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// Address of the server.
    #[arg(long, env = "RUNNEL_URL", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
    /// Folder of the secret that signs the user's token.
    #[arg(long, default_value = DATA_DIR, value_name = "FOLDER")]
    data_dir: PathBuf,
}

/// The address of a server that speaks plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(Authority);

/// The text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the address of a server that speaks plain HTTP, such as `http://127.0.0.1:8080`")]
pub struct BadUrl;

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.parse().map_err(|_| BadUrl)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path == "/");
        match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) if is_bare => Ok(Self(authority.clone())),
            _ => Err(BadUrl),
        }
    }
}

/// A server, used as one user.
struct Session {
    client: Client<HttpConnector, Full<Bytes>>,
    server: Authority,
    user: UserId,
    minter: Minter,
    data_dir: PathBuf,
}

/// Why there is no answer.
enum Failure {
    /// No connection could be made: the server has seen nothing of the request.
    Unreachable(anyhow::Error),
    /// The connection broke, or fell silent: the server may have done what was asked.
    Broken(anyhow::Error),
    /// The server refused the request.
    Refused(Refusal),
}

/// An answer with another status than success.
struct Refusal {
    status: StatusCode,
    retry_after: Option<Duration>,
    detail: String,
}

impl Refusal {
    /// Whether the same request may succeed later.
    fn is_passing(&self) -> bool {
        self.status.is_server_error()
            || matches!(self.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
    }
}

impl Session {
    fn new(server: &Server, user: &UserId) -> anyhow::Result<Self> {
        let secret = DataDir::existing_secret(&server.data_dir)?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            server: server.url.0.clone(),
            user: user.clone(),
            minter: Minter::new(&AuthConfig { secret: Some(secret), ..AuthConfig::default() })?,
            data_dir: server.data_dir.clone(),
        })
    }

    /// A request with a token of the user that is valid for `life`.
    fn request(&self, method: Method, path: &str, life: Duration) -> request::Builder {
        let uri = Uri::builder().scheme("http").authority(self.server.clone()).path_and_query(path).build();
        let token = self.minter.mint(&self.user, life, Clock::system().now());
        Request::builder()
            .method(method)
            .uri(uri.expect("an authority and a path of our own make a URI"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends a request. An answer that is no success is a [`Failure`].
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let answer = match timeout(ANSWER_IN, self.client.request(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) if error.is_connect() => return Err(Failure::Unreachable(error.into())),
            Ok(Err(error)) => return Err(Failure::Broken(error.into())),
            Err(_) => return Err(Failure::Broken(anyhow!("no answer within {} s", ANSWER_IN.as_secs()))),
        };
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let retry_after = parts.headers.get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let problem: Value = serde_json::from_str(&whole(body).await.unwrap_or_default()).unwrap_or_default();
        let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or_default();
        Err(Failure::Refused(Refusal {
            status: parts.status,
            retry_after: retry_after.map(|seconds| Duration::from_secs(seconds).min(PAUSE_MAX)),
            detail: printable(detail),
        }))
    }

    /// The sentence for a failure that no retry ends.
    fn explain(&self, failure: Failure) -> anyhow::Error {
        let server = &self.server;
        match failure {
            Failure::Unreachable(error) => error.context(format!(
                "no server answers at http://{server}: start `runnel`, or name another address with --url"
            )),
            Failure::Broken(error) => error.context(format!("the server at http://{server} does not answer")),
            Failure::Refused(Refusal { status: StatusCode::UNAUTHORIZED, .. }) => anyhow!(
                "the server at http://{server} does not accept tokens signed with `{}`: name its folder with --data-dir",
                self.data_dir.join("secret").display()
            ),
            Failure::Refused(Refusal { status, detail, .. }) => {
                anyhow!("the server answered {status}: {detail}")
            }
        }
    }
}

/// A whole body of text.
async fn whole(body: Incoming) -> anyhow::Result<String> {
    let body = timeout(ANSWER_IN, Limited::new(body, ANSWER_BYTES).collect()).await;
    let Ok(Ok(body)) = body else { bail!("the answer is incomplete or too long") };
    String::from_utf8(body.to_bytes().into()).context("the answer is not text")
}

/// Text of others, without what a terminal could take for a command or show in another order.
fn printable(text: &str) -> String {
    let is_odd = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if is_odd(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_plain_http_and_has_no_path() {
        for good in ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:80"] {
            assert!(good.parse::<Url>().is_ok(), "{good}");
        }
        for bad in
            ["", "127.0.0.1:8080", "https://chat.example", "http://localhost/v1", "http://localhost/?x"]
        {
            assert_eq!(bad.parse::<Url>(), Err(BadUrl), "{bad}");
        }
    }

    #[test]
    fn a_terminal_is_shown_no_command_and_no_other_order() {
        assert_eq!(printable("a\u{1b}[2Jb\nc\u{202e}d é"), "a\u{fffd}[2Jb\nc\u{fffd}d é");
    }
}

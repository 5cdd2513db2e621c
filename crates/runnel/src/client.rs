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

use crate::{cli::DATA_DIR, data_dir::DataDir};

pub mod send;
pub mod tail;

/// How long a token of one request or one stream is valid.
const TOKEN_LIFE: Duration = Duration::from_hours(12);
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
    /// The connection could not be made, or broke.
    Unreachable(anyhow::Error),
    /// The server refused the request, and says when to come back, if that helps.
    Refused(Refusal),
}

/// An answer with another status than success.
struct Refusal {
    status: StatusCode,
    retry_after: Option<Duration>,
    detail: String,
}

impl Session {
    fn new(server: &Server, user: &UserId) -> anyhow::Result<Self> {
        let secret = DataDir::open(&server.data_dir)?.secret()?;
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            server: server.url.0.clone(),
            user: user.clone(),
            minter: Minter::new(&AuthConfig { secret: Some(secret), ..AuthConfig::default() })?,
            data_dir: server.data_dir.clone(),
        })
    }

    /// A request with the user's token.
    fn request(&self, method: Method, path: &str) -> request::Builder {
        let uri = Uri::builder().scheme("http").authority(self.server.clone()).path_and_query(path).build();
        let token = self.minter.mint(&self.user, TOKEN_LIFE, Clock::system().now());
        Request::builder()
            .method(method)
            .uri(uri.expect("an authority and a path of our own make a URI"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends a request. An answer that is no success is a [`Failure`].
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| Failure::Unreachable(error.into()))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let retry_after = parts.headers.get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let problem = whole(body).await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&problem).unwrap_or_default();
        let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or_default().to_owned();
        let retry_after = retry_after.map(Duration::from_secs);
        Err(Failure::Refused(Refusal { status: parts.status, retry_after, detail }))
    }

    /// The sentence for a failure that no retry mends.
    fn explain(&self, failure: Failure) -> anyhow::Error {
        match failure {
            Failure::Unreachable(error) => error.context(format!(
                "no server answers at http://{}: start `runnel`, or name another address with --url",
                self.server
            )),
            Failure::Refused(Refusal { status: StatusCode::UNAUTHORIZED, .. }) => anyhow!(
                "the server at http://{} does not accept tokens signed with `{}`: name its folder with --data-dir",
                self.server,
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
    let body = Limited::new(body, ANSWER_BYTES).collect().await;
    let Ok(body) = body else { bail!("the answer broke off or is too long") };
    String::from_utf8(body.to_bytes().into()).context("the answer is not text")
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
}

//! One small document over HTTPS, with the client that the AWS SDK brings along.

use std::time::Duration;

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{http::HttpConnector as _, orchestrator::HttpRequest};
use aws_smithy_types::body::SdkBody;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};

/// From the connect to the last byte.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest document, in bytes: a key set of a hundred RSA keys with certificates fits.
const DOCUMENT_BYTES: usize = 256 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no document. All of it ends in a log line and another try.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within 5 s")]
    Slow,
    #[error("cannot be reached: {}", chain(.0.as_ref()))]
    Unreachable(#[source] BoxError),
    #[error("answered with status {0}")]
    Status(u16),
    #[error("the answer broke off or is over 256 KiB: {0}")]
    Body(#[source] BoxError),
}

/// The SDK's own messages stop at "dispatch failure".
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A client over rustls with the machine's own roots. It follows no redirect: keys come from the
/// URL that was configured, or not at all.
pub(super) fn connector() -> Connector {
    Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build()
}

/// The document at `url`.
pub(super) async fn get(connector: &Connector, url: &Uri) -> Result<Vec<u8>, FetchError> {
    tokio::time::timeout(TIMEOUT, fetch(connector, url)).await.map_err(|_| FetchError::Slow)?
}

async fn fetch(connector: &Connector, url: &Uri) -> Result<Vec<u8>, FetchError> {
    let request = Request::get(url)
        .header(header::ACCEPT, "application/json")
        .body(SdkBody::empty())
        .expect("a URL that parsed and a constant make a request");
    let request = HttpRequest::try_from(request).map_err(|error| FetchError::Unreachable(error.into()))?;
    let response = connector.call(request).await.map_err(|error| FetchError::Unreachable(error.into()))?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), DOCUMENT_BYTES);
    Ok(body.collect().await.map_err(FetchError::Body)?.to_bytes().into())
}

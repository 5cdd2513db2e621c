//! How this service reaches AWS, or the emulators that stand in for it: one TLS stack, the
//! standard retries, and a client of its own for calls that wait.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig, retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;
/// The SDK's own 3.1 s fails on a busy machine that starts thousands of receives at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one attempt of an ordinary call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where DynamoDB and SQS are, when they are not where the environment says.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Endpoints {
    /// URL of an emulator to use instead of AWS's own DynamoDB, with credentials of no worth.
    #[arg(long = "dynamodb-endpoint", env = "RUNNEL_DYNAMODB_ENDPOINT", value_name = "URL")]
    pub dynamodb: Option<String>,
    /// URL of an emulator to use instead of AWS's own SQS, with credentials of no worth.
    #[arg(long = "sqs-endpoint", env = "RUNNEL_SQS_ENDPOINT", value_name = "URL")]
    pub sqs: Option<String>,
}

/// What the clients of this process are built from.
#[derive(Clone, Debug)]
pub struct Configs {
    /// For DynamoDB: 5 s an attempt.
    pub dynamodb: SdkConfig,
    /// For every SQS call that answers at once: 5 s an attempt.
    pub sqs: SdkConfig,
    /// For SQS receives, which wait up to 20 s: no timeout but the one to connect.
    pub sqs_receive: SdkConfig,
}

/// Reads the environment (region, credentials) and builds the three configurations.
///
/// A service with an endpoint of its own reads nothing: its region and credentials are made up.
pub async fn configs(endpoints: &Endpoints) -> Configs {
    let (http, sqs) = (http(), set(endpoints.sqs.as_deref()));
    let waiting = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .disable_read_timeout()
        .build();
    Configs {
        dynamodb: answering(&http, set(endpoints.dynamodb.as_deref())).await,
        sqs: answering(&http, sqs).await,
        sqs_receive: loader(&http, sqs).timeout_config(waiting).load().await,
    }
}

/// The configuration for DynamoDB alone, for what needs no queue.
pub async fn dynamodb(endpoints: &Endpoints) -> SdkConfig {
    answering(&http(), set(endpoints.dynamodb.as_deref())).await
}

fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// For calls that answer at once.
async fn answering(http: &SharedHttpClient, endpoint: Option<&str>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    loader(http, endpoint).timeout_config(timeouts).load().await
}

/// An environment variable that a template leaves empty is not set.
fn set(endpoint: Option<&str>) -> Option<&str> {
    endpoint.filter(|url| !url.is_empty())
}

fn loader(http: &SharedHttpClient, endpoint: Option<&str>) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        // A receive is such a stream, and every other call is over in time anyway.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    match endpoint {
        None => loader,
        Some(url) => loader
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::from_keys("emulator", "emulator", None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_emulator_needs_no_environment() {
        let endpoints = Endpoints {
            dynamodb: Some("http://127.0.0.1:1".to_owned()),
            sqs: Some("http://127.0.0.1:2".to_owned()),
        };
        let configs = configs(&endpoints).await;
        assert_eq!(configs.dynamodb.endpoint_url(), Some("http://127.0.0.1:1"));
        assert_eq!(configs.sqs.endpoint_url(), Some("http://127.0.0.1:2"));
        assert_eq!(configs.sqs_receive.endpoint_url(), Some("http://127.0.0.1:2"));
        assert!(configs.dynamodb.region().is_some());
        assert!(configs.dynamodb.credentials_provider().is_some());
    }

    #[tokio::test]
    async fn a_receive_is_never_cut() {
        let endpoints = Endpoints { dynamodb: None, sqs: Some("http://127.0.0.1:2".to_owned()) };
        let configs = configs(&endpoints).await;
        let timeouts = configs.sqs_receive.timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.operation_timeout(), None);
        assert_eq!(timeouts.operation_attempt_timeout(), None);
        assert_eq!(timeouts.read_timeout(), None);
        let timeouts = configs.sqs.timeout_config().unwrap();
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
    }
}

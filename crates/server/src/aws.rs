//! How this service reaches AWS, or the emulators that stand in for it: one TLS stack, the
//! standard retries, and a client of its own for calls that wait.

use std::{env, time::Duration};

use aws_config::{
    BehaviorVersion, ConfigLoader, Region, SdkConfig,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
    meta::{credentials::CredentialsProviderChain, region::RegionProviderChain},
    profile::ProfileFileRegionProvider,
    retry::RetryConfig,
    stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_credential_types::Credentials;
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use secrecy::{ExposeSecret as _, SecretString};

/// Attempts of one call, the first included.
const ATTEMPTS: u32 = 3;
/// The SDK's own 3.1 s fails on a busy machine that starts thousands of receives at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The region of an emulator: signatures need one.
const EMULATED_REGION: Region = Region::from_static("us-east-1");
/// How long one attempt of an ordinary call may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Heading in `--help` of the settings that say where tables and queues are.
pub const AWS: &str = "AWS";

/// What `--help` says of a program that uses AWS.
pub const HELP: &str = "The AWS SDK reads its own variables too. AWS_REGION names the region, AWS_ENDPOINT_URL=http://… an emulator.";

/// Endpoints of DynamoDB and SQS, where the AWS SDK's own variables do not name them.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Endpoints {
    /// DynamoDB emulator to use instead of AWS. Requests carry dummy credentials.
    #[arg(long = "dynamodb-endpoint", env = "RUNNEL_DYNAMODB_ENDPOINT", value_name = "URL", help_heading = AWS)]
    pub dynamodb: Option<String>,
    /// SQS emulator to use instead of AWS. Requests carry dummy credentials.
    #[arg(long = "sqs-endpoint", env = "RUNNEL_SQS_ENDPOINT", value_name = "URL", help_heading = AWS)]
    pub sqs: Option<String>,
}

/// The keys by which envelopes are sealed, shared by the API, the fan-out and the edges of a deployment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct QueueKeys {
    /// Secret of at least 32 bytes that seals what writers post to queues, the same for all processes. Without a key, edges
    /// show every event in a queue, including forged ones.
    #[arg(long, env = "RUNNEL_QUEUE_KEY", hide_env_values = true, value_name = "SECRET", help_heading = AWS)]
    pub queue_key: Option<SecretString>,
    /// Previous secret. Edges still accept envelopes sealed with it.
    #[arg(long, env = "RUNNEL_QUEUE_KEY_OLD", hide_env_values = true, value_name = "SECRET", help_heading = AWS)]
    pub old_queue_key: Option<SecretString>,
}

impl QueueKeys {
    /// The keys that are set, the one that seals first. Templates leave unused variables empty.
    ///
    /// # Errors
    /// [`ShortKey`].
    pub fn keys(&self) -> Result<Vec<&[u8]>, ShortKey> {
        let keys = [&self.queue_key, &self.old_queue_key].into_iter().flatten();
        let keys = keys.map(|key| key.expose_secret().as_bytes()).filter(|key| !key.is_empty());
        keys.map(|key| if key.len() < KEY_BYTES_MIN { Err(ShortKey) } else { Ok(key) }).collect()
    }
}

/// Fewest bytes of such a key (RFC 2104, section 3).
const KEY_BYTES_MIN: usize = 32;

/// A key that could be guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`RUNNEL_QUEUE_KEY` and `RUNNEL_QUEUE_KEY_OLD` need at least {KEY_BYTES_MIN} bytes: `openssl rand -hex 32` makes one"
)]
pub struct ShortKey;

/// No setting names a region.
#[derive(Debug, thiserror::Error)]
#[error("there is no AWS region: set `AWS_REGION`, or `AWS_ENDPOINT_URL` to use emulators")]
pub struct NoRegion;

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
/// With an emulator in `endpoints`, region and credentials are made up. With one in the environment
/// (`AWS_ENDPOINT_URL=http://…`) they come from the environment or are made up. No metadata service is asked for either.
///
/// # Errors
/// [`NoRegion`], a sentence that says what to do.
pub async fn configs(endpoints: &Endpoints) -> Result<Configs, NoRegion> {
    let http = http();
    let dynamodb = Endpoint::of(endpoints.dynamodb.as_deref(), "AWS_ENDPOINT_URL_DYNAMODB");
    let sqs = Endpoint::of(endpoints.sqs.as_deref(), "AWS_ENDPOINT_URL_SQS");
    let waiting = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .disable_operation_attempt_timeout()
        .disable_operation_timeout()
        .disable_read_timeout()
        .build();
    Ok(Configs {
        dynamodb: answering(&http, dynamodb).await?,
        sqs: answering(&http, sqs).await?,
        sqs_receive: loader(&http, sqs).await?.timeout_config(waiting).load().await,
    })
}

/// The configuration for DynamoDB alone, for what needs no queue.
///
/// # Errors
/// [`NoRegion`], a sentence that says what to do.
pub async fn dynamodb(endpoints: &Endpoints) -> Result<SdkConfig, NoRegion> {
    let endpoint = Endpoint::of(endpoints.dynamodb.as_deref(), "AWS_ENDPOINT_URL_DYNAMODB");
    answering(&http(), endpoint).await
}

fn http() -> SharedHttpClient {
    Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// For calls that answer at once.
async fn answering(http: &SharedHttpClient, endpoint: Endpoint<'_>) -> Result<SdkConfig, NoRegion> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .build();
    Ok(loader(http, endpoint).await?.timeout_config(timeouts).load().await)
}

/// Where a service is.
#[derive(Clone, Copy)]
enum Endpoint<'a> {
    /// At a URL that a setting of Runnel names: an emulator.
    Emulator(&'a str),
    /// At a plain HTTP URL in one of the SDK's own variables: an emulator as well.
    Environment,
    /// At AWS, perhaps behind a VPC endpoint that such a variable names by an https URL.
    Aws,
}

impl<'a> Endpoint<'a> {
    /// `given` is Runnel's own setting, `variable` the SDK's for this service. A variable that a template leaves
    /// empty is not set.
    fn of(given: Option<&'a str>, variable: &str) -> Self {
        let is_emulator = |name: &str| env::var(name).is_ok_and(|url| url.starts_with("http://"));
        match given.filter(|url| !url.is_empty()) {
            Some(url) => Self::Emulator(url),
            None if is_emulator(variable) || is_emulator("AWS_ENDPOINT_URL") => Self::Environment,
            None => Self::Aws,
        }
    }
}

async fn loader(http: &SharedHttpClient, endpoint: Endpoint<'_>) -> Result<ConfigLoader, NoRegion> {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        // A receive is such a stream, and every other call is over in time anyway.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    // Lambda and Fargate set the region. Elsewhere the SDK would ask the metadata service of EC2 several times.
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    Ok(match endpoint {
        Endpoint::Aws => {
            let region = region.region().await.filter(|region| !region.as_ref().is_empty());
            loader.region(region.ok_or(NoRegion)?)
        }
        Endpoint::Environment => loader.region(region.or_else(EMULATED_REGION)).credentials_provider(
            CredentialsProviderChain::first_try("environment", EnvironmentVariableCredentialsProvider::new())
                .or_else("dummy", dummy_credentials()),
        ),
        Endpoint::Emulator(url) => {
            loader.endpoint_url(url).region(EMULATED_REGION).credentials_provider(dummy_credentials())
        }
    })
}

fn dummy_credentials() -> Credentials {
    Credentials::from_keys("emulator", "emulator", None)
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
        let configs = configs(&endpoints).await.unwrap();
        assert_eq!(configs.dynamodb.endpoint_url(), Some("http://127.0.0.1:1"));
        assert_eq!(configs.sqs.endpoint_url(), Some("http://127.0.0.1:2"));
        assert_eq!(configs.sqs_receive.endpoint_url(), Some("http://127.0.0.1:2"));
        assert!(configs.dynamodb.region().is_some());
        assert!(configs.dynamodb.credentials_provider().is_some());
    }

    #[tokio::test]
    async fn a_receive_is_never_cut() {
        let url = Some("http://127.0.0.1:2".to_owned());
        let endpoints = Endpoints { dynamodb: url.clone(), sqs: url };
        let configs = configs(&endpoints).await.unwrap();
        let timeouts = configs.sqs_receive.timeout_config().unwrap();
        assert_eq!(timeouts.connect_timeout(), Some(CONNECT_TIMEOUT));
        assert_eq!(timeouts.operation_timeout(), None);
        assert_eq!(timeouts.operation_attempt_timeout(), None);
        assert_eq!(timeouts.read_timeout(), None);
        let timeouts = configs.sqs.timeout_config().unwrap();
        assert_eq!(timeouts.operation_attempt_timeout(), Some(ATTEMPT_TIMEOUT));
    }
}

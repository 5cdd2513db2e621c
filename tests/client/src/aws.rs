//! An HTTP client for the AWS SDK that a function answers, for tests of one unit: its test decides what AWS says.

use std::{fmt, io, sync::Arc};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::{body::SdkBody, retry::RetryConfig};
use serde_json::{Value, json};

/// What a call is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// It succeeds.
    Ok(Value),
    /// It is refused with an exception of this name, and with these members of the body.
    Refused(&'static str, Value),
    /// The connection breaks: whether the call took effect is not known.
    Lost,
}

type Answering = dyn Fn(&str, &Value) -> Answer + Send + Sync;

/// AWS as a function of the operation's name and the request's body.
#[derive(Clone)]
pub struct Aws(Arc<Answering>);

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

impl Aws {
    /// Answers each call by `answer`, except `DescribeTable`, which always finds a table.
    pub fn new(answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }

    /// A configuration for DynamoDB without retries.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Config {
        (&self.config()).into()
    }

    /// A configuration for SQS without retries.
    pub fn sqs(&self) -> aws_sdk_sqs::Config {
        (&self.config()).into()
    }

    fn config(&self) -> SdkConfig {
        let credentials = Credentials::from_keys("test", "test", None);
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .retry_config(RetryConfig::disabled())
            .http_client(self.http_client())
            .build()
    }

    fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(self.clone());
        http_client_fn(move |_, _| connector.clone())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body = serde_json::from_slice(request.body().bytes().unwrap_or_default()).unwrap_or(Value::Null);
        let answer = match operation {
            "DescribeTable" => Answer::Ok(json!({"Table": {"TableId": "a-table"}})),
            operation => (self.0)(operation, &body),
        };
        HttpConnectorFuture::ready(match answer {
            Answer::Ok(body) => Ok(respond(200, &body)),
            Answer::Refused(name, mut body) => {
                body["__type"] = format!("com.amazonaws.dynamodb.v20120810#{name}").into();
                Ok(respond(400, &body))
            }
            Answer::Lost => Err(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())),
        })
    }
}

fn respond(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body.to_string()))
}

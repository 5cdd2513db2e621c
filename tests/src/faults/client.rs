//! The `HttpClient` that a process speaks to AWS through.

use std::io;

use aws_smithy_runtime_api::{
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::{Headers, StatusCode},
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use serde_json::{Value, json};

use super::{Fault, Faults, Moment, Verdict};

/// A client that does what the faults say, and otherwise what `inner` does.
#[derive(Debug)]
pub struct FaultyClient {
    /// The real one.
    pub inner: SharedHttpClient,
    /// What goes wrong.
    pub faults: Faults,
}

#[derive(Debug)]
struct Connector {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpClient for FaultyClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Connector { inner, faults: self.faults.clone() })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if self.faults.is_dead() {
            return HttpConnectorFuture::new(std::future::pending());
        }
        let Verdict { made, fault } = self.faults.judge(&request);
        if matches!(fault, Some(Fault::Die(Moment::Before))) {
            // At once: nothing else of this process may slip by.
            self.faults.die();
        }
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        HttpConnectorFuture::new(async move {
            let answer = match fault {
                None => inner.call(request).await,
                Some(fault) => suffer(fault, &inner, request, &faults).await,
            };
            if answer.is_ok() {
                faults.note_answer(made);
            }
            answer
        })
    }
}

async fn suffer(
    fault: Fault,
    inner: &SharedHttpConnector,
    request: HttpRequest,
    faults: &Faults,
) -> Result<HttpResponse, ConnectorError> {
    match fault {
        Fault::Reset(Moment::Before) => Err(reset()),
        Fault::Reset(Moment::After) => {
            inner.call(request).await?;
            Err(reset())
        }
        Fault::Refuse(status, code) => Ok(refusal(status, code)),
        Fault::Cancel(codes) => Ok(cancelled(&request, codes)),
        Fault::Unprocessed => Ok(unprocessed(&request)),
        Fault::OneProcessed => one_processed(inner, request).await,
        Fault::Hold(Moment::Before, held) => {
            held.pass().await;
            inner.call(request).await
        }
        Fault::Hold(Moment::After, held) => {
            let answer = inner.call(request).await;
            held.pass().await;
            answer
        }
        Fault::Die(moment) => {
            if moment == Moment::After {
                let _ = inner.call(request).await;
            }
            faults.die();
            std::future::pending().await
        }
    }
}

fn reset() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())
}

/// An error as both services word it.
fn refusal(status: u16, code: &str) -> HttpResponse {
    let body = format!(r#"{{"__type":"com.amazonaws#{code}","message":"a fault that was asked for"}}"#);
    answer(status, body)
}

/// A transaction that does not happen.
fn cancelled(request: &HttpRequest, codes: &[&str]) -> HttpResponse {
    let rows = read(request.body())["TransactItems"].as_array().expect("a transaction").len();
    let codes = codes.iter().chain(std::iter::repeat(&"None")).take(rows);
    let body = json!({
        "__type": "com.amazonaws.dynamodb#TransactionCanceledException",
        "message": "a fault that was asked for",
        "CancellationReasons": codes.map(|code| json!({"Code": code})).collect::<Vec<_>>(),
    });
    answer(400, body.to_string())
}

/// A read of many rows of which none is read.
fn unprocessed(request: &HttpRequest) -> HttpResponse {
    let asked = read(request.body());
    answer(200, json!({"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}).to_string())
}

/// A read of many rows of which one, the last that is asked for, is read.
async fn one_processed(
    inner: &SharedHttpConnector,
    mut request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let mut asked = read(request.body());
    let tables = asked["RequestItems"].as_object_mut().expect("tables");
    let mut rest = tables.clone();
    for (name, table) in tables {
        let keys = table["Keys"].as_array_mut().expect("keys");
        let last = keys.split_off(keys.len() - 1);
        let left = std::mem::replace(keys, last);
        if left.is_empty() {
            rest.remove(name);
        } else {
            rest[name]["Keys"] = left.into();
        }
    }
    let asked = asked.to_string();
    request.headers_mut().insert("content-length", asked.len().to_string());
    *request.body_mut() = asked.into();
    let mut given = inner.call(request).await?;
    let given = std::mem::replace(given.body_mut(), SdkBody::taken());
    let given = ByteStream::new(given).collect().await.expect("an answer");
    let mut given = read(&given.into_bytes().into());
    given["UnprocessedKeys"] = rest.into();
    Ok(answer(200, given.to_string()))
}

fn read(body: &SdkBody) -> Value {
    serde_json::from_slice(body.bytes().expect("a body")).expect("JSON")
}

fn answer(status: u16, body: String) -> HttpResponse {
    let status = StatusCode::try_from(status).expect("a status");
    let mut response = HttpResponse::new(status, SdkBody::from(body));
    let mut headers = Headers::new();
    headers.insert("content-type", "application/x-amz-json-1.0");
    *response.headers_mut() = headers;
    response
}

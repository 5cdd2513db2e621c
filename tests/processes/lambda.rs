//! `api` under AWS Lambda, behind an HTTP API of API Gateway (payload format 2.0).

use std::time::Duration;

use domain::ids::UserId;
use runnel::emulators::Emulators;
use serde_json::{Value, json};
use server::{
    auth::{AuthConfig, mint::Minter},
    aws,
    clock::Clock,
};
use store::table::{TABLE, Table};
use tests::{
    lambda::Runtime,
    process::{Running, program},
};

const SECRET: &str = "a secret of more than 32 characters";

/// The function and what it runs on.
struct Function {
    runtime: Runtime,
    token: String,
    _process: Running,
    _emulators: Emulators,
}

impl Function {
    async fn start() -> Self {
        let emulators = Emulators::start(None).unwrap();
        let endpoints = emulators.endpoints();
        Table::create((&aws::dynamodb(&endpoints).await.unwrap()).into(), TABLE).await.unwrap();
        let runtime = Runtime::start().await;
        let mut command = program("api");
        command
            .env("AWS_LAMBDA_RUNTIME_API", runtime.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "api")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("RUNNEL_DYNAMODB_ENDPOINT", endpoints.dynamodb.unwrap())
            .env("RUNNEL_SQS_ENDPOINT", endpoints.sqs.unwrap())
            .env("RUNNEL_JWT_SECRET", SECRET);
        let auth = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
        let alice = UserId::parse("alice").unwrap();
        let token = Minter::new(&auth).unwrap().mint(&alice, Duration::from_hours(1), Clock::system().now());
        Self { runtime, token, _process: Running::start(command), _emulators: emulators }
    }

    /// A request of alice's as API Gateway hands it over, with more fields.
    async fn call(&mut self, method: &str, path: &str, more: Value) -> Value {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut event = json!({
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "headers": {
                "authorization": format!("Bearer {}", self.token),
                "content-type": "application/json",
                "host": "chat.example",
                "x-forwarded-for": "203.0.113.7",
                "x-forwarded-port": "443",
                "x-forwarded-proto": "https",
            },
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "abc",
                "domainName": "chat.example",
                "domainPrefix": "chat",
                "http": {
                    "method": method,
                    "path": path,
                    "protocol": "HTTP/1.1",
                    "sourceIp": "203.0.113.7",
                    "userAgent": "test",
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": "$default",
                "stage": "$default",
                "time": "24/Nov/2026:10:00:00 +0000",
                "timeEpoch": 1_795_514_400_000_u64,
            },
            "isBase64Encoded": false,
        });
        for (name, value) in more.as_object().unwrap() {
            event[name] = value.clone();
        }
        self.runtime.invoke(event).await
    }
}

/// The body of an answer, which has to be JSON as text.
fn body(answer: &Value) -> Value {
    assert_eq!(answer["isBase64Encoded"], false, "{answer}");
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn the_function_answers_as_api_gateway_expects() {
    let mut function = Function::start().await;
    let health = function.call("GET", "/v1/health", json!({})).await;
    assert_eq!((&health["statusCode"], &body(&health)["status"]), (&json!(200), &json!("ok")));
    assert_eq!(health["headers"]["content-type"], "application/json");

    let made = function.call("POST", "/v1/threads", json!({"body": r#"{"members":["bob"]}"#})).await;
    assert_eq!(made["statusCode"], 201, "{made}");
    let thread = body(&made)["id"].as_str().unwrap().to_owned();
    let messages = format!("/v1/threads/{thread}/messages");
    let said = function.call("POST", &messages, json!({"body": r#"{"text":"grüß dich"}"#})).await;
    assert_eq!((&said["statusCode"], &body(&said)["text"]), (&json!(201), &json!("grüß dich")));
    // {"text":"again"}, as a gateway sends what it takes for binary.
    let encoded = json!({"body": "eyJ0ZXh0IjoiYWdhaW4ifQ==", "isBase64Encoded": true});
    assert_eq!(function.call("POST", &messages, encoded).await["statusCode"], 201);
    let page = function.call("GET", &format!("{messages}?limit=1"), json!({})).await;
    assert_eq!((&body(&page)["items"][0]["text"], body(&page)["next"].is_string()), (&json!("again"), true));

    let session = function.call("POST", "/v1/session", json!({})).await;
    assert_eq!(session["statusCode"], 204, "{session}");
    let cookie = session["cookies"][0].as_str().unwrap();
    assert!(cookie.starts_with("__Host-runnel=") && cookie.contains("Secure"), "{cookie}");
    assert_eq!(
        session["headers"]["set-cookie"],
        Value::Null,
        "API Gateway takes cookies from `cookies` only"
    );
}

#[tokio::test]
async fn the_function_refuses_with_problems() {
    let mut function = Function::start().await;
    let headers = json!({"headers": {"host": "chat.example"}});
    for (method, path, more, status) in [
        ("GET", "/v1/threads", headers, 401),
        ("GET", "/v1/threads/t_none", json!({}), 404),
        ("GET", "/v1/nothing", json!({}), 404),
        ("DELETE", "/v1/threads", json!({}), 405),
        ("POST", "/v1/threads", json!({"body": "{"}), 400),
        ("POST", "/v1/threads", json!({"body": "{}"}), 422),
    ] {
        let answer = function.call(method, path, more).await;
        assert_eq!(answer["statusCode"], status, "{method} {path}: {answer}");
        assert_eq!(answer["headers"]["content-type"], "application/problem+json", "{answer}");
        let problem = body(&answer);
        assert!(problem["type"].is_string() && problem["instance"].is_string(), "{problem}");
    }
}

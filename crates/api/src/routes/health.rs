//! Whether the process answers.

use axum::Json;
use serde_json::{Value, json};

/// `GET /v1/health`.
pub async fn read() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

//! Whether the process answers.

use axum::Json;
use serde_json::{Value, json};

/// See whether the process answers.
#[utoipa::path(get, path = "/v1/health", tag = "service", operation_id = "readHealth", security(()),
    responses((status = 200, description = "It does.")))]
pub async fn read() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

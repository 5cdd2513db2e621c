//! What the API is, for machines.

use axum::Json;
use utoipa::openapi::OpenApi;

use crate::openapi::document;

/// `GET /v1/openapi.json`, for everybody.
pub async fn read() -> Json<OpenApi> {
    Json(document())
}

//! The service itself.

#![expect(dead_code, reason = "these only carry descriptions")]

/// See whether the process answers.
#[utoipa::path(get, path = "/v1/health", tag = "service", operation_id = "readHealth", security(()),
    responses((status = 200, description = "It does.")))]
pub(super) fn health() {}

/// Read this document.
#[utoipa::path(get, path = "/v1/openapi.json", tag = "service", operation_id = "readOpenApi", security(()),
    responses((status = 200, description = "OpenAPI 3.1.")))]
pub(super) fn openapi() {}

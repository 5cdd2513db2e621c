//! What many routes have in common.

use domain::ids::ThreadId;
use server::problem::Problem;
use utoipa::{
    IntoParams, Modify, ToResponse,
    openapi::{
        OpenApi, Ref, RefOr,
        path::Operation,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// `type` says what went wrong, `detail` what to do about it. Statuses: 400, 401, 403, 404, 405, 408,
/// 409, 413, 415, 422, 429, 500 and 503; the last and 429 with `Retry-After`, and then the same
/// request may be sent again with the same `Idempotency-Key`.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct ProblemAnswer(Problem);

/// A thread in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct InThread {
    /// The thread. One that you are no member of is answered like one that does not exist.
    thread: ThreadId,
}

/// A message in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OfMessage {
    /// The message's place among the thread's logged events.
    tseq: u64,
}

/// The header of writes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct Key {
    /// Names this write: sent again with the same key it is the same write, answered and not done
    /// again, for 48 hours. With another request it is refused (422). 1 to 64 of `A-Z a-z 0-9 _ . : + = ~ -`.
    #[param(rename = "Idempotency-Key", required = false)]
    key: String,
}

/// How many items a page has.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct Limit {
    /// Items wanted; 50 without it.
    #[param(minimum = 1, maximum = 100, required = false)]
    limit: u32,
}

/// What every operation has, without being told.
pub(super) struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let cookie =
            ApiKeyValue::with_description("runnel", "Set by `POST /v1/session`; `__Host-runnel` on https.");
        let ticket = ApiKeyValue::with_description("ticket", "From `POST /v1/tickets`; opens one stream.");
        for (name, scheme) in [
            ("bearer", SecurityScheme::Http(bearer)),
            ("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie))),
            ("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket))),
        ] {
            components.add_security_scheme(name, scheme);
        }
        for path in document.paths.paths.values_mut() {
            let operations =
                [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
            operations.into_iter().flatten().for_each(complete);
        }
    }
}

/// Problems for all, the bearer for those that say nothing else.
fn complete(operation: &mut Operation) {
    let problem = RefOr::Ref(Ref::from_response_name("ProblemAnswer"));
    operation.responses.responses.entry("default".into()).or_insert(problem);
    operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", [""; 0])]);
}

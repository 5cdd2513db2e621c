//! The OpenAPI document, without the routes of the API. Each of those routes is described at its handler. `router.rs`
//! joins both. `docs/openapi.json` is a copy; a test fails if it is stale, and names the command that writes it.

mod events;
mod problems;
mod stream;

use domain::ids::Emoji;
use server::problem::ProblemBody;
use utoipa::{
    ToResponse,
    openapi::{
        AllOfBuilder, ArrayBuilder, HeaderBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Schema, Type,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::AnyOfBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Runnel",
        description = "Chat over `EventSource` and ordinary HTTPS requests. Events and guarantees: docs/WIRE.md.",
    ),
    paths(stream::events, stream::poll),
    components(responses(ProblemAnswer), schemas(ProblemBody<'static>, Emoji))
)]
struct Document;

/// The document without the routes of the API.
pub fn base() -> OpenApi {
    <Document as utoipa::OpenApi>::openapi()
}

/// `type` says what went wrong, `detail` what to do about it. Later versions can have other statuses and types than those
/// named above. After 429 and 503, with `Retry-After`, the same request may be sent again with the same `Idempotency-Key`.
#[derive(ToResponse)]
#[response(content_type = "application/problem+json")]
#[expect(dead_code, reason = "only its description is used")]
struct ProblemAnswer(ProblemBody<'static>);

/// Adds what every operation has: the security schemes, problems, and the bearer where a route names nothing else.
pub fn complete(document: &mut OpenApi) {
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
    if let Some(message) = components.schemas.get_mut("NewMessage") {
        require_content(message);
    }
    for path in document.paths.paths.values_mut() {
        let operations = [&mut path.get, &mut path.post, &mut path.put, &mut path.patch, &mut path.delete];
        operations.into_iter().flatten().for_each(complete_operation);
    }
}

/// A message has a text that shows something, or attachments.
fn require_content(message: &mut RefOr<Schema>) {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(r"\S"));
    let text = ObjectBuilder::new().property("text", text).required("text");
    let files = ArrayBuilder::new().items(Ref::from_schema_name("NewAttachment")).min_items(Some(1));
    let files = ObjectBuilder::new().property("attachments", files).required("attachments");
    let either = AnyOfBuilder::new().item(text).item(files);
    *message = AllOfBuilder::new().item(message.clone()).item(either).into();
}

/// A body that may be left out. utoipa describes it as one that may be `null`.
fn drop_null(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(either))) = &content.schema
            && let Some(body) = either.items.iter().find(|item| matches!(item, RefOr::Ref(_)))
        {
            content.schema = Some(body.clone());
        }
    }
}

fn is_of_users(operation: &Operation) -> bool {
    operation.tags.iter().flatten().any(|tag| tag == "users")
}

fn has_key(operation: &Operation) -> bool {
    operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "Idempotency-Key"))
}

/// Adds a header to what an operation answers if it succeeds.
fn add_header(operation: &mut Operation, name: &str, description: &str) {
    let successes = operation.responses.responses.iter_mut().filter(|(status, _)| status.starts_with('2'));
    for (_, response) in successes {
        if let RefOr::T(response) = response {
            let header = HeaderBuilder::new().description(Some(description)).build();
            response.headers.insert(name.into(), RefOr::T(header));
        }
    }
}

fn complete_operation(operation: &mut Operation) {
    let problem = RefOr::Ref(Ref::from_response_name("ProblemAnswer"));
    operation.responses.responses.entry("default".into()).or_insert(problem);
    if has_key(operation) {
        add_header(
            operation,
            "Idempotent-Replayed",
            "`true` if the key was known: the write was not done again.",
        );
    }
    // What a back end may do for a user.
    if operation.security.is_none()
        && operation.operation_id.as_deref() != Some("createSession")
        && !is_of_users(operation)
    {
        let description = "The user for whom a back end acts: its token needs the scope `runnel:act`.";
        let user = ParameterBuilder::new()
            .name("Runnel-User")
            .parameter_in(ParameterIn::Header)
            .description(Some(description))
            .schema(Some(Ref::from_schema_name("UserId")));
        operation.parameters.get_or_insert_default().push(RefOr::T(user.build()));
    }
    drop_null(operation);
    problems::describe(operation);
    operation.security.get_or_insert_with(|| vec![SecurityRequirement::new("bearer", [""; 0])]);
}

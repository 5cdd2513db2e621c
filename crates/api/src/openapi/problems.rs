//! Which problems each operation can be answered with, by status.

use std::collections::{BTreeMap, BTreeSet};

use server::problem::Kind;
use utoipa::openapi::{
    ContentBuilder, Ref, RefOr, ResponseBuilder,
    path::{Operation, ParameterIn},
};

/// What an operation has beside what follows from its parameters, by the name of the operation.
const OWN: [(&str, &[Kind]); 18] = [
    ("acceptInvitation", &[Kind::UserFull]),
    ("addMember", &[Kind::MemberNeeded, Kind::OwnerNeeded]),
    ("addReaction", &[Kind::Invalid, Kind::MessageDeleted, Kind::ReactionsFull, Kind::ThreadClosed]),
    ("blockUser", &[Kind::BlocksFull, Kind::Invalid]),
    ("createSession", &[Kind::NotForServices, Kind::TooLarge]),
    ("createThread", &[Kind::MemberRefused, Kind::ServiceOnly, Kind::UserFull]),
    ("deleteMessage", &[Kind::NotAuthor, Kind::ThreadClosed]),
    ("deleteSession", &[Kind::Invalid, Kind::NotForServices, Kind::SessionUnnamed]),
    ("editMessage", &[Kind::MessageDeleted, Kind::NotAuthor, Kind::ThreadClosed]),
    ("endSession", &[Kind::Invalid]),
    ("openStream", &[Kind::TokenInvalid, Kind::TokenMissing]),
    (
        "poll",
        &[
            Kind::Invalid,
            Kind::TicketInvalid,
            Kind::TokenExpired,
            Kind::TokenInvalid,
            Kind::TokenMissing,
            Kind::TokenRevoked,
            Kind::TooManyStreams,
            Kind::Unavailable,
            Kind::UserBanned,
        ],
    ),
    ("removeMember", &[Kind::RoleMissing, Kind::ThreadDirect]),
    ("removeReaction", &[Kind::Invalid, Kind::MessageDeleted, Kind::ThreadClosed]),
    ("renameThread", &[Kind::ThreadDirect]),
    ("sendMessage", &[Kind::MemberNeeded, Kind::ReplyMissing, Kind::ThreadClosed]),
    ("unblockUser", &[Kind::Invalid]),
    ("banUser", &[Kind::Invalid]),
];
/// What adding members has, one or many.
const ADDING: [Kind; 5] =
    [Kind::MemberRefused, Kind::RoleMissing, Kind::ServiceOnly, Kind::ThreadDirect, Kind::ThreadFull];
/// What a request with a token can be answered with, whatever it asks for.
const OF_TOKENS: [Kind; 10] = [
    Kind::BadRequest,
    Kind::Internal,
    Kind::RateLimited,
    Kind::ScopeMissing,
    Kind::TokenExpired,
    Kind::TokenInvalid,
    Kind::TokenMissing,
    Kind::TokenRevoked,
    Kind::Unavailable,
    Kind::UserBanned,
];
/// What a request with a body can be answered with.
const OF_BODIES: [Kind; 4] = [Kind::Invalid, Kind::Timeout, Kind::TooLarge, Kind::UnsupportedMedia];

/// Adds a response for each status that a problem of this operation has.
pub(super) fn describe(operation: &mut Operation) {
    let mut by_status: BTreeMap<u16, BTreeSet<&str>> = BTreeMap::new();
    for kind in of(operation) {
        by_status.entry(kind.status().as_u16()).or_default().insert(kind.name());
    }
    for (status, names) in by_status {
        let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description(format!("The end of `type` is {}.", names.join(", ")))
            .content("application/problem+json", problem)
            .build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
    }
}

fn of(operation: &Operation) -> Vec<Kind> {
    let name = operation.operation_id.as_deref().unwrap_or_default();
    let parameters = || {
        operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
            RefOr::T(parameter) => Some(parameter),
            RefOr::Ref(_) => None,
        })
    };
    let has = |name: &str| parameters().any(|parameter| parameter.name == name);
    let is_in = |place: &ParameterIn| parameters().any(|parameter| &parameter.parameter_in == place);
    let mut kinds: Vec<Kind> =
        OWN.iter().filter(|(own, _)| *own == name).flat_map(|(_, kinds)| *kinds).copied().collect();
    if matches!(name, "addMember" | "addMembers") {
        kinds.extend(ADDING);
    }
    if matches!(name, "readHealth" | "readOpenApi" | "openStream" | "poll") {
        return kinds;
    }
    kinds.extend(OF_TOKENS);
    if operation.request_body.is_some() {
        kinds.extend(OF_BODIES);
    }
    if has("Idempotency-Key") {
        kinds.push(Kind::KeyReused);
    }
    if has("If-Match") {
        kinds.push(Kind::ChangedSince);
    }
    if is_in(&ParameterIn::Path) {
        kinds.push(Kind::NotFound);
    }
    if is_in(&ParameterIn::Query) {
        kinds.push(Kind::Invalid);
    }
    if super::is_of_users(operation) {
        kinds.push(Kind::UserNamedTwice);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use utoipa::openapi::OpenApi;

    use super::*;

    fn named(document: &OpenApi) -> BTreeSet<&str> {
        let paths = document.paths.paths.values();
        let operations = paths.flat_map(|path| [&path.get, &path.post, &path.put, &path.patch, &path.delete]);
        operations.flatten().filter_map(|operation| operation.operation_id.as_deref()).collect()
    }

    #[test]
    fn each_name_is_one_of_an_operation() {
        let document = crate::router::document();
        let named = named(&document);
        let unknown: Vec<_> = OWN.iter().filter(|(name, _)| !named.contains(name)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}

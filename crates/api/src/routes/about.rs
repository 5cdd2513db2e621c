//! What this service is able to do, for clients that are to work with several versions of it.

use axum::Json as Answer;
use domain::limits;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rate::Reader;

/// What the service can do beyond its first version. A name is never removed, and never gets another meaning.
const FEATURES: &[&str] = &[
    "attachments",
    "blocks",
    "data",
    "edits",
    "idempotency",
    "if-match",
    "invitations",
    "mentions",
    "poll",
    "presence",
    "profiles",
    "reactions",
    "replies",
    "roles",
    "tickets",
];

/// The service.
#[derive(Debug, Serialize, ToSchema)]
pub struct Service {
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// What it can do. Clients ignore what they do not know.
    features: &'static [&'static str],
    /// What its users may send at most.
    limits: Limits,
}

/// Limits of one request. `RateLimit-Policy` tells how many requests a user may send.
#[derive(Debug, Serialize, ToSchema)]
pub struct Limits {
    /// A request body, in bytes.
    body_bytes: usize,
    /// The text of a message, in bytes of UTF-8.
    text_bytes: usize,
    /// Attachments, mentions and data of a message together, in bytes of JSON.
    extras_bytes: usize,
    /// Attachments of a message.
    attachments: usize,
    /// Users whom a message mentions.
    mentions: usize,
    /// Different reactions to a message.
    message_emoji: usize,
    /// Users with the same reaction to a message.
    emoji_users: usize,
    /// Reactions to a message in all.
    message_reactions: usize,
    /// The title of a group, in bytes of UTF-8.
    title_bytes: usize,
    /// Members of a thread.
    thread_members: usize,
    /// Users named in one request.
    request_members: usize,
    /// Threads that a user has created or accepted.
    user_threads: usize,
    /// Users whom a user has blocked.
    blocks: usize,
    /// The name of a user, in characters.
    name_chars: usize,
    /// The address of a user's picture, in bytes.
    avatar_bytes: usize,
    /// The data of a profile, in bytes of JSON.
    profile_data_bytes: usize,
    /// Users whose profiles one request reads.
    profiles: usize,
    /// Items of a page.
    page_items: usize,
    /// Members up to which the others are told how far a member has read.
    seen_members: usize,
    /// Members up to which they are told who types.
    typing_members: usize,
    /// How long an idempotency key is known, in seconds.
    key_seconds: u64,
}

/// Read what the service can do.
#[utoipa::path(get, path = "/v1", tag = "service", operation_id = "readService",
    responses((status = 200, description = "Its version, features and limits.", body = Service)))]
pub async fn read(_: Reader) -> Answer<Service> {
    Answer(Service {
        version: env!("CARGO_PKG_VERSION"),
        features: FEATURES,
        limits: Limits {
            body_bytes: limits::BODY_BYTES,
            text_bytes: limits::MESSAGE_BYTES,
            extras_bytes: limits::EXTRAS_BYTES,
            attachments: limits::ATTACHMENTS,
            mentions: limits::MENTIONS,
            message_emoji: limits::MESSAGE_EMOJI,
            emoji_users: limits::EMOJI_USERS,
            message_reactions: limits::MESSAGE_REACTIONS,
            title_bytes: limits::TITLE_BYTES,
            thread_members: limits::THREAD_MEMBERS,
            request_members: limits::CREATE_MEMBERS,
            user_threads: limits::USER_THREADS,
            blocks: limits::BLOCKS,
            name_chars: limits::NAME_CHARS,
            avatar_bytes: limits::AVATAR_BYTES,
            profile_data_bytes: limits::PROFILE_DATA_BYTES,
            profiles: limits::PROFILES,
            page_items: limits::PAGE_ITEMS_MAX,
            seen_members: limits::SEEN_MEMBERS,
            typing_members: limits::TYPING_MEMBERS,
            key_seconds: limits::KEY_LIFE.as_secs(),
        },
    })
}

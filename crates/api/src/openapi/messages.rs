//! Messages and reactions.

#![expect(dead_code, reason = "these only carry descriptions")]

use domain::{
    ids::Emoji,
    wire::{Message, Page},
};

use super::common::{InThread, Key, Limit, OfMessage};
use crate::routes::messages::NewMessage;

/// Send a message.
#[utoipa::path(post, path = "/v1/threads/{thread}/messages", tag = "messages", operation_id = "sendMessage",
    params(InThread, Key), request_body = NewMessage,
    responses(
        (status = 201, description = "The message.", body = Message),
        (status = 200, description = "The key was known: the message as it is now.", body = Message),
    ))]
pub(super) fn send() {}

/// List messages.
///
/// The latest first.
#[utoipa::path(get, path = "/v1/threads/{thread}/messages", tag = "messages", operation_id = "listMessages",
    params(InThread, Limit, ("before" = Option<String>, Query, description = "`next` of the page before.")),
    responses((status = 200, description = "A page.", body = Page<Message>)))]
pub(super) fn list() {}

/// Edit a message.
///
/// Only its author may (403), and not once it is deleted (409).
#[utoipa::path(patch, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "editMessage",
    params(InThread, OfMessage, Key), request_body = NewMessage,
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub(super) fn edit() {}

/// Delete a message.
///
/// Only its author may (403). Its text and reactions are gone; its place and number stay.
#[utoipa::path(delete, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "deleteMessage",
    params(InThread, OfMessage, Key),
    responses((status = 204, description = "It is deleted.")))]
pub(super) fn delete() {}

/// Put a reaction under a message.
///
/// Not once it is deleted, and up to 20 different ones, 64 users each, 192 in all (409).
#[utoipa::path(put, path = "/v1/threads/{thread}/messages/{tseq}/reactions/{emoji}", tag = "messages",
    operation_id = "addReaction",
    params(InThread, OfMessage, ("emoji" = Emoji, Path, description = "1 to 32 bytes of UTF-8, percent-encoded."), Key),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub(super) fn react() {}

/// Take your reaction away.
#[utoipa::path(delete, path = "/v1/threads/{thread}/messages/{tseq}/reactions/{emoji}", tag = "messages",
    operation_id = "removeReaction",
    params(InThread, OfMessage, ("emoji" = Emoji, Path, description = "1 to 32 bytes of UTF-8, percent-encoded."), Key),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub(super) fn unreact() {}

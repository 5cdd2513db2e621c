//! Messages: sent, listed, edited and deleted.

use axum::{Json as Answer, extract::State};
use domain::{
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    rate::Class,
    sequence::ThreadSeq,
    wire::{Message, Page},
};
use fanout::chat::Chat;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    json::{Json, Path, Query},
    problem::{Kind, Problem},
};
use store::{
    table::Table,
    write::{Outcome, command::Command},
};
use utoipa::ToSchema;

use super::{
    page::{self, place, token},
    parameters::{InThread, Key, Limit, OfMessage},
    write::Write,
};
use crate::{
    answer::{Location, Replayed, failed, problem_of},
    rate::Reader,
};

/// A message to send, or another text for one.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// 1 byte to 16 KiB of UTF-8, not only blanks; a control character other than `\n`, `\r` and
    /// `\t` counts as six bytes.
    text: String,
}

impl NewMessage {
    fn check(&self) -> Result<(), Problem> {
        if self.text.trim().is_empty() {
            return Err(Problem::invalid("text", "`text` must not be empty or blank"));
        }
        if size(&self.text) > limits::MESSAGE_BYTES {
            let most = limits::MESSAGE_BYTES;
            let detail = format!(
                "`text` must not exceed {most} bytes of UTF-8: a control character counts as 6 bytes"
            );
            return Err(Problem::new(Kind::TooLarge, detail));
        }
        Ok(())
    }
}

/// Bytes of a text, so that it is at most twice as long in a frame, which has its own limit.
fn size(text: &str) -> usize {
    let is_escaped = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    text.chars().map(|c| if is_escaped(c) { 6 } else { c.len_utf8() }).sum()
}

/// Send a message.
#[utoipa::path(post, path = "/v1/threads/{thread}/messages", tag = "messages", operation_id = "sendMessage",
    params(InThread, Key), request_body = NewMessage,
    responses(
        (status = 201, description = "The message.", body = Message, headers(("Location" = String, description = "Where it can be read."))),
        (status = 200, description = "The key was known: the message as it is now.", body = Message, headers(("Location" = String, description = "Where it can be read."))),
    ))]
pub async fn send(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path(thread): Path<ThreadId>,
    write: Write,
    Json(new): Json<NewMessage>,
) -> Result<(StatusCode, Location, Replayed, Answer<Message>), Problem> {
    new.check()?;
    let request = write.of(&[(Class::Send, 1)], &("message", &thread, &new));
    let command = Command::Message { text: &new.text };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    let replayed = Replayed::from(&outcome);
    let (status, tseq, message) = match outcome {
        Outcome::Logged(entry, _) | Outcome::LoggedAndDelivered(entry, _) | Outcome::Recovered(entry) => {
            (StatusCode::CREATED, entry.tseq, Answer(message(&entry)?))
        }
        Outcome::Replayed(entry) => {
            let message = now(&table, (&request.sender, &thread), entry.tseq).await?;
            (StatusCode::OK, entry.tseq, message)
        }
        Outcome::Unchanged => return Err(Problem::internal()),
    };
    let location = Location(format!("/v1/threads/{thread}/messages/{tseq}"));
    Ok((status, location, replayed, message))
}

fn message(entry: &Entry) -> Result<Message, Problem> {
    entry.message().ok_or_else(Problem::internal)
}

/// Edit a message.
///
/// Only its author may (403), and not once it is deleted (409).
#[utoipa::path(patch, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "editMessage",
    params(InThread, OfMessage, Key), request_body = NewMessage,
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn edit(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path((thread, tseq)): Path<(ThreadId, ThreadSeq)>,
    write: Write,
    Json(new): Json<NewMessage>,
) -> Result<(Replayed, Answer<Message>), Problem> {
    new.check()?;
    let request = write.of(&[(Class::Change, 1)], &("edit", &thread, tseq, &new));
    let command = Command::Edit { message: tseq, text: &new.text };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    Ok((Replayed::from(&outcome), now(&table, (&request.sender, &thread), tseq).await?))
}

/// Delete a message.
///
/// Only its author, the owner and moderators may (403). Its text and reactions are gone; its place and number stay.
#[utoipa::path(delete, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "deleteMessage",
    params(InThread, OfMessage, Key),
    responses((status = 204, description = "It is deleted.")))]
pub async fn delete(
    State(chat): State<Chat>,
    Path((thread, tseq)): Path<(ThreadId, ThreadSeq)>,
    write: Write,
) -> Result<(Replayed, StatusCode), Problem> {
    let request = write.of(&[(Class::Change, 1)], &("delete", &thread, tseq));
    let command = Command::Delete { message: tseq };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    Ok((Replayed::from(&outcome), StatusCode::NO_CONTENT))
}

/// The message as it is now, as far as `sender` may see it: a repeated request must not yield what was deleted since, nor
/// what was changed after the sender's leaving.
pub(super) async fn now(
    table: &Table,
    (sender, thread): (&UserId, &ThreadId),
    tseq: ThreadSeq,
) -> Result<Answer<Message>, Problem> {
    let entry = table.entry_for(sender, thread, tseq).await.map_err(failed)?;
    message(&entry.ok_or_else(Problem::internal)?).map(Answer)
}

/// Read a message.
#[utoipa::path(get, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "readMessage",
    params(InThread, OfMessage),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn read(
    State(table): State<Table>,
    Reader(reader): Reader,
    Path((thread, tseq)): Path<(ThreadId, ThreadSeq)>,
) -> Result<Answer<Message>, Problem> {
    let message = table.message(&reader.user, &thread, tseq).await.map_err(failed)?;
    message.map(Answer).ok_or_else(Problem::not_found)
}

/// The query of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    limit: Option<usize>,
    before: Option<String>,
}

/// List messages.
///
/// The latest first.
#[utoipa::path(get, path = "/v1/threads/{thread}/messages", tag = "messages", operation_id = "listMessages",
    params(InThread, Limit, ("before" = Option<String>, Query, description = "`next` of the page before.")),
    responses((status = 200, description = "A page.", body = Page<Message>)))]
pub async fn list(
    State(table): State<Table>,
    Reader(reader): Reader,
    Path(thread): Path<ThreadId>,
    Query(Wanted { limit, before }): Query<Wanted>,
) -> Result<Answer<Page<Message>>, Problem> {
    let before = place::<ThreadSeq>("before", before.as_deref())?;
    let page = table.messages(&reader.user, &thread, before, page::limit(limit)?).await;
    let (items, next) = page.map_err(failed)?.ok_or_else(Problem::not_found)?;
    Ok(Answer(Page { items, next: next.map(|tseq| token(&tseq)) }))
}

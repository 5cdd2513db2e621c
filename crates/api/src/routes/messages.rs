//! Messages: sent, listed, edited and deleted.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State};
use domain::{
    attachment::{Address, Attachment, Data, FileName, MediaType},
    content::{Draft, Revision, Said},
    event::Entry,
    ids::{ThreadId, UserId},
    limits,
    rate::Class,
    sequence::{ProfileVersion, ThreadSeq, Whole},
    wire::{Included, Message, Messages},
};
use fanout::chat::Chat;
use http::StatusCode;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, Unexpected},
};
use server::{
    json::{Json, Path, Query},
    problem::{Kind, Problem},
};
use store::{
    history::Window,
    table::Table,
    write::{Outcome, command::Command},
};
use utoipa::ToSchema;

use super::{
    named::at_most,
    page,
    parameters::{InThread, Key, Limit, OfMessage, OfVersion},
    write::Write,
};
use crate::{
    answer::{Location, Replayed, Tagged, failed, problem_of, too_long},
    rate::Reader,
};

/// A message to send: a text, attachments, or both.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    /// Up to 16 KiB of UTF-8. A control character other than `\n`, `\r` and `\t` counts as six bytes. Without
    /// attachments it must not be empty or blank.
    #[serde(default)]
    #[schema(max_length = 16_384)]
    text: String,
    /// Files that lie elsewhere.
    #[serde(default)]
    #[schema(max_items = 10)]
    attachments: Vec<NewAttachment>,
    /// The tseq of the message that this one replies to.
    #[schema(minimum = 1)]
    reply_to: Option<ThreadSeq>,
    /// Members whom it mentions.
    #[serde(default, deserialize_with = "at_most::<_, { limits::MENTIONS }>")]
    #[schema(value_type = Vec<UserId>, max_items = 20)]
    mentions: BTreeSet<UserId>,
    /// A JSON object that Runnel keeps with the message, for your application.
    #[serde(default)]
    data: Data,
}

/// What to change of a message. What is absent stays as it is.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub struct ChangedMessage {
    /// Another text, with the limits of a new one.
    #[schema(max_length = 16_384)]
    text: Option<String>,
    /// Other files; an empty list removes all.
    #[schema(max_items = 10)]
    attachments: Option<Vec<NewAttachment>>,
    /// Another object; an empty one removes it.
    data: Option<Data>,
}

/// A file that lies elsewhere.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    /// Where it lies.
    url: Address,
    /// Its media type.
    #[serde(rename = "type")]
    media_type: Option<MediaType>,
    /// Its name.
    name: Option<FileName>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 9_007_199_254_740_991_u64)]
    size: Option<u64>,
    /// The width of a picture or a film in pixels.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 4_294_967_295_u64)]
    width: Option<u32>,
    /// Its height in pixels.
    #[serde(default, deserialize_with = "whole")]
    #[schema(maximum = 4_294_967_295_u64)]
    height: Option<u32>,
    /// Where a smaller picture of it lies.
    preview: Option<Address>,
}

/// Reads a whole number that may be absent.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(d: D) -> Result<Option<T>, D::Error> {
    let Some(Whole(number)) = Option::deserialize(d)? else { return Ok(None) };
    let too_large = |_| D::Error::invalid_value(Unexpected::Unsigned(number), &"a smaller number");
    T::try_from(number).map(Some).map_err(too_large)
}

impl From<NewAttachment> for Attachment {
    fn from(new: NewAttachment) -> Self {
        let NewAttachment { url, media_type, name, size, width, height, preview } = new;
        Self { url, media_type, name, size, width, height, preview }
    }
}

impl NewMessage {
    fn draft(&self, from_version: ProfileVersion) -> Result<Draft, Problem> {
        let (text, data) = (text(&self.text)?, self.data.clone());
        let said = Said { text, attachments: attachments(&self.attachments)?, data };
        if said.is_blank() {
            return Err(Problem::invalid("text", "`text` must not be empty or blank without `attachments`"));
        }
        let mentions: Vec<UserId> = self.mentions.iter().cloned().collect();
        if !said.fits_beside(&mentions) {
            return Err(too_long());
        }
        Ok(Draft { said, mentions, reply_to: self.reply_to, from_version })
    }
}

impl ChangedMessage {
    fn revision(&self) -> Result<Revision, Problem> {
        let text = self.text.as_deref().map(text).transpose()?;
        let attachments = self.attachments.as_deref().map(attachments).transpose()?;
        if let (None, None, None) = (&text, &attachments, &self.data) {
            return Err(Problem::new(Kind::Invalid, "the body must have `text`, `attachments` or `data`"));
        }
        Ok(Revision { text, attachments, data: self.data.clone() })
    }
}

fn text(text: &str) -> Result<String, Problem> {
    if size(text) > limits::MESSAGE_BYTES {
        let most = limits::MESSAGE_BYTES;
        let detail =
            format!("`text` must not exceed {most} bytes of UTF-8: a control character counts as 6 bytes");
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    Ok(text.to_owned())
}

/// Bytes of a text, so that it is at most twice as long in a frame, which has its own limit.
fn size(text: &str) -> usize {
    let is_escaped = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    text.chars().map(|c| if is_escaped(c) { 6 } else { c.len_utf8() }).sum()
}

fn attachments(new: &[NewAttachment]) -> Result<Vec<Attachment>, Problem> {
    if new.len() > limits::ATTACHMENTS {
        let detail = format!("`attachments` must name at most {} files", limits::ATTACHMENTS);
        return Err(Problem::invalid("attachments", detail));
    }
    Ok(new.iter().cloned().map(Attachment::from).collect())
}

/// Send a message.
///
/// Whom it mentions and what it replies to never change.
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
) -> Result<(StatusCode, Location, Replayed, Tagged<Message>), Problem> {
    let from_version = table.profile_version(write.sender(), write.now()).await.map_err(failed)?;
    let draft = new.draft(from_version)?;
    let request = write.of(&[(Class::Send, 1)], &("message", &thread, &new));
    let command = Command::Message(&draft);
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    let replayed = Replayed::from(&outcome);
    let (status, tseq, message) = match outcome {
        Outcome::Logged(entry, _) | Outcome::LoggedAndDelivered(entry, _) | Outcome::Recovered(entry) => {
            (StatusCode::CREATED, entry.tseq, Tagged(message(&request.sender, &entry)?))
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

fn message(reader: &UserId, entry: &Entry) -> Result<Message, Problem> {
    entry.message_for(reader).ok_or_else(Problem::internal)
}

/// Edit a message.
///
/// Only its author may (403), and not once it is deleted (409).
#[utoipa::path(patch, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "editMessage",
    params(InThread, OfMessage, Key, OfVersion), request_body = ChangedMessage,
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn edit(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path((thread, tseq)): Path<(ThreadId, ThreadSeq)>,
    write: Write,
    Json(new): Json<ChangedMessage>,
) -> Result<(Replayed, Tagged<Message>), Problem> {
    let revision = new.revision()?;
    let request = write.of(&[(Class::Change, 1)], &("edit", &thread, tseq, &new));
    let command = Command::Edit { message: tseq, revision: &revision };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    Ok((Replayed::from(&outcome), now(&table, (&request.sender, &thread), tseq).await?))
}

/// Delete a message.
///
/// Only its author, the owner and moderators may (403). What it says and its reactions are gone; its place and
/// number stay.
#[utoipa::path(delete, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "deleteMessage",
    params(InThread, OfMessage, Key, OfVersion),
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
) -> Result<Tagged<Message>, Problem> {
    let entry = table.entry_for(sender, thread, tseq).await.map_err(failed)?;
    message(sender, &entry.ok_or_else(Problem::internal)?).map(Tagged)
}

/// Read a message.
#[utoipa::path(get, path = "/v1/threads/{thread}/messages/{tseq}", tag = "messages", operation_id = "readMessage",
    params(InThread, OfMessage),
    responses((status = 200, description = "The message as it is now.", body = Message)))]
pub async fn read(
    State(table): State<Table>,
    Reader(reader): Reader,
    Path((thread, tseq)): Path<(ThreadId, ThreadSeq)>,
) -> Result<Tagged<Message>, Problem> {
    let message = table.message(&reader.user, &thread, tseq).await.map_err(failed)?;
    message.map(Tagged).ok_or_else(Problem::not_found)
}

/// Those whom some messages name, the authors first.
fn named(messages: &[Message]) -> impl Iterator<Item = &UserId> {
    let authors = messages.iter().map(|message| &message.from);
    let replied = messages.iter().filter_map(|message| Some(&message.reply.as_ref()?.from));
    authors.chain(replied).chain(messages.iter().flat_map(|message| &message.mentions))
}

/// The query of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    limit: Option<usize>,
    before: Option<String>,
    after: Option<String>,
    around: Option<String>,
}

impl Wanted {
    fn window(&self) -> Result<Window, Problem> {
        let tseq =
            |name, text: &Option<String>| text.as_deref().map(|text| page::tseq(name, text)).transpose();
        match (tseq("before", &self.before)?, tseq("after", &self.after)?, tseq("around", &self.around)?) {
            (before, None, None) => Ok(Window::Before(before.unwrap_or(ThreadSeq::MAX))),
            (None, Some(after), None) => Ok(Window::After(after)),
            (None, None, Some(at)) => Ok(Window::Around(at)),
            _ => {
                let detail = "the query must have at most one of `before`, `after` and `around`";
                Err(Problem::new(Kind::Invalid, detail))
            }
        }
    }
}

/// List messages.
///
/// The latest first in every page. Without `before`, `after` and `around`: the latest of all. Each of the three takes a
/// tseq, which `next` and `newer` of another page are too. A request has at most one of them.
#[utoipa::path(get, path = "/v1/threads/{thread}/messages", tag = "messages", operation_id = "listMessages",
    params(InThread, Limit,
        ("before" = Option<String>, Query, description = "Messages before this one.", pattern = "^[0-9]{1,19}$"),
        ("after" = Option<String>, Query, description = "Messages after this one.", pattern = "^[0-9]{1,19}$"),
        ("around" = Option<String>, Query, description = "This message, and those on both sides of it.", pattern = "^[0-9]{1,19}$")),
    responses((status = 200, description = "A page.", body = Messages)))]
pub async fn list(
    State(table): State<Table>,
    Reader(reader): Reader,
    Path(thread): Path<ThreadId>,
    Query(wanted): Query<Wanted>,
) -> Result<Answer<Messages>, Problem> {
    let (window, limit) = (wanted.window()?, page::limit(wanted.limit)?);
    let page = table.messages(&reader.user, &thread, window, limit).await;
    let page = page.map_err(failed)?.ok_or_else(Problem::not_found)?;
    let newer = || page.newer.map(|tseq| tseq.to_string());
    let users = table.faces(named(&page.messages)).await.map_err(failed)?;
    Ok(Answer(Messages {
        newer: (!matches!(window, Window::Before(_))).then(newer),
        next: page.older.map(|tseq| tseq.to_string()),
        items: page.messages,
        included: Included { messages: page.replied },
        users,
    }))
}

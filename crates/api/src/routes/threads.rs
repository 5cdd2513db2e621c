//! Threads: created, listed, read, renamed.

use std::collections::BTreeSet;

use axum::{Json as Answer, extract::State};
use domain::{
    cursor::Cursor,
    event::{History, Role, Settings},
    ids::{ThreadId, UserId},
    limits,
    profile::Face,
    rate::Class,
    text,
    view::View,
    wire::{Faces, Page, Thread, ThreadState},
};
use fanout::chat::Chat;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    clock::Clock,
    json::{Json, Path, Query},
    problem::{Kind, Problem},
};
use store::{
    table::Table,
    write::{Outcome, command::Command},
};
use utoipa::ToSchema;

use super::{
    named::at_most,
    page::{self, Place},
    parameters::{InThread, Key, Limit, OfVersion},
    session::accepted,
    write::Write,
};
use crate::{
    answer::{Location, Replayed, Tagged, failed, problem_of},
    audit::{Deed, note},
    rate::Reader,
};

/// A thread to create: with one other member and nothing else it is the direct thread of both.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewThread {
    /// 1 to 90 users besides yourself.
    #[serde(deserialize_with = "at_most::<_, { limits::CREATE_MEMBERS + 1 }>")]
    #[schema(value_type = Vec<UserId>, min_items = 1, max_items = 91)]
    members: BTreeSet<UserId>,
    /// At most 200 bytes of UTF-8.
    #[schema(max_length = 200)]
    title: Option<String>,
    /// What a member may read of the time before they joined. Default: `all`.
    history: Option<History>,
    /// The least of the roles whose holders add members. Default: `member`.
    adds: Option<Role>,
}

/// The list of threads, with the cursor to open the stream at.
#[derive(Debug, Serialize, ToSchema)]
pub struct Threads {
    #[serde(flatten)]
    page: Page<Thread>,
    /// Where to open the stream: it was read before the list.
    #[schema(value_type = String)]
    cursor: Cursor,
    /// How to show those whom the threads name.
    #[schema(value_type = BTreeMap<String, Face>)]
    users: Faces,
}

/// The query of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    limit: Option<usize>,
    after: Option<String>,
    state: Option<ThreadState>,
}

/// Create a thread.
///
/// With one other member and nothing else it is the direct thread of both, of which there is one. Everything else is a
/// group. `history` and `adds` hold in it for good.
#[utoipa::path(post, path = "/v1/threads", tag = "threads", operation_id = "createThread",
    params(Key), request_body = NewThread,
    responses(
        (status = 201, description = "The new thread.", body = Thread, headers(("Location" = String, description = "Where it can be read."))),
        (status = 200, description = "It was there.", body = Thread, headers(("Location" = String, description = "Where it can be read."))),
    ))]
pub async fn create(
    State(chat): State<Chat>,
    State(table): State<Table>,
    write: Write,
    Json(mut new): Json<NewThread>,
) -> Result<(StatusCode, Location, Replayed, Tagged<Thread>), Problem> {
    new.title = match new.title.take() {
        Some(text) => title(&text)?,
        None => None,
    };
    let others: Vec<UserId> = new.members.iter().filter(|user| *user != write.sender()).cloned().collect();
    if !(1..=limits::CREATE_MEMBERS).contains(&others.len()) {
        let detail = format!("`members` must name 1 to {} users besides yourself", limits::CREATE_MEMBERS);
        return Err(Problem::invalid("members", detail));
    }
    let invited = u32::try_from(others.len()).unwrap_or(u32::MAX);
    let request = write.of(&[(Class::Create, 1), (Class::Invite, invited)], &("thread", &new));
    let NewThread { title, history, adds, .. } = new;
    let created = match others.as_slice() {
        [other] if title.is_none() && history.is_none() && adds.is_none() => {
            chat.create_direct(&request, other).await
        }
        _ => {
            let (history, adds) = (history.unwrap_or_default(), adds.unwrap_or_default());
            let settings = Settings { history, adds };
            chat.create_group(&request, ThreadId::group(rng::random()), (title, settings), &others).await
        }
    };
    let (status, replayed, entry) = match created.map_err(problem_of)? {
        Outcome::Logged(entry, _) | Outcome::LoggedAndDelivered(entry, _) | Outcome::Recovered(entry) => {
            note(&request.sender, request.via.as_ref(), &Deed::CreatedThread.to_thread(&entry.thread));
            (StatusCode::CREATED, false, entry)
        }
        // A direct thread is found by its two users, whatever the key.
        Outcome::Replayed(entry) => (StatusCode::OK, !entry.thread.is_direct(), entry),
        Outcome::Unchanged => return Err(Problem::internal()),
    };
    let thread = whole(&table, &request.sender, &entry.thread).await?;
    let location = Location(format!("/v1/threads/{}", entry.thread));
    Ok((status, location, Replayed(replayed), Tagged(thread.ok_or_else(Problem::not_found)?)))
}

/// List your threads.
///
/// The latest activity first. A stream opened at `cursor` (with several pages, the first one's)
/// misses nothing.
#[utoipa::path(get, path = "/v1/threads", tag = "threads", operation_id = "listThreads",
    params(Limit, ("after" = Option<String>, Query, description = "`next` of the page before.",
            pattern = r"^[0-9]{1,19}\.[td]_[a-z0-9]{1,40}$"),
        ("state" = Option<ThreadState>, Query, description = "Only threads of this state. Default: all.")),
    responses((status = 200, description = "A page.", body = Threads)))]
pub async fn list(
    State(table): State<Table>,
    State(clock): State<Clock>,
    Reader(reader): Reader,
    Query(Wanted { limit, after, state }): Query<Wanted>,
) -> Result<Answer<Threads>, Problem> {
    let limit = page::limit(limit)?;
    let after = after.as_deref().map(page::place).transpose()?;
    // Read before the list, so that a stream opened at this cursor misses nothing.
    let image = table.image(&reader.user).await.map_err(failed)?;
    accepted(&image, &reader, clock.now())?;
    let mut views = table.views(&reader.user, &image).await.map_err(failed)?;
    if let Some(state) = state {
        views.retain(|view| view.is_invited() == (state == ThreadState::Invited));
    }
    if let Some(Place { activity, thread }) = after {
        views.retain(|view| (view.activity, &view.thread) < (activity, &thread));
    }
    let more = views.len() > limit;
    views.truncate(limit);
    let place = |last: &View| Place { activity: last.activity, thread: last.thread.clone() };
    let next = views.last().filter(|_| more).map(|last| place(last).to_string());
    let (items, cursor) = table.listed(&reader.user, views, &image).await.map_err(failed)?;
    let authors = items.iter().filter_map(|thread| Some(&thread.last.as_ref()?.from));
    let users = table.faces(authors.chain(items.iter().flat_map(members))).await.map_err(failed)?;
    Ok(Answer(Threads { page: Page { items, next }, cursor, users }))
}

fn members(thread: &Thread) -> impl Iterator<Item = &UserId> {
    thread.members.iter().map(|member| &member.user)
}

/// A thread as `reader` sees it, with the faces of its members.
async fn whole(table: &Table, reader: &UserId, thread: &ThreadId) -> Result<Option<Thread>, Problem> {
    let Some(thread) = table.thread(reader, thread).await.map_err(failed)? else { return Ok(None) };
    let users = Some(table.faces(members(&thread)).await.map_err(failed)?);
    Ok(Some(Thread { users, ..thread }))
}

/// Read a thread.
#[utoipa::path(get, path = "/v1/threads/{thread}", tag = "threads", operation_id = "readThread",
    params(InThread),
    responses((status = 200, description = "The thread, with `seen_by`.", body = Thread)))]
pub async fn read(
    State(table): State<Table>,
    Reader(reader): Reader,
    Path(thread): Path<ThreadId>,
) -> Result<Tagged<Thread>, Problem> {
    let thread = whole(&table, &reader.user, &thread).await?;
    thread
        .map(Tagged)
        .ok_or_else(|| Problem::new(Kind::NotFound, "this thread does not exist, or you are not a member"))
}

/// Another title for a group.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTitle {
    /// 1 to 200 bytes of UTF-8.
    #[schema(min_length = 1, max_length = 200, pattern = r"\S")]
    title: String,
}

/// Rename a group.
///
/// Any member may. A direct thread has no title (409).
#[utoipa::path(patch, path = "/v1/threads/{thread}", tag = "threads", operation_id = "renameThread",
    params(InThread, Key, OfVersion), request_body = NewTitle,
    responses((status = 200, description = "The thread as it is now.", body = Thread)))]
pub async fn rename(
    State(chat): State<Chat>,
    State(table): State<Table>,
    Path(thread): Path<ThreadId>,
    write: Write,
    Json(new): Json<NewTitle>,
) -> Result<(Replayed, Tagged<Thread>), Problem> {
    let blank = || Problem::invalid("title", "`title` must not be empty or blank");
    let title = title(&new.title)?.ok_or_else(blank)?;
    let request = write.of(&[(Class::Change, 1)], &("title", &thread, &title));
    let command = Command::Title { title: &title };
    let outcome = chat.write(&request, &thread, command).await.map_err(problem_of)?;
    if outcome.is_new() {
        note(&request.sender, request.via.as_ref(), &Deed::RenamedThread.to_thread(&thread));
    }
    let renamed = table.thread(&request.sender, &thread).await.map_err(failed)?;
    Ok((Replayed::from(&outcome), Tagged(renamed.ok_or_else(Problem::not_found)?)))
}

/// A title without blanks around it; none, if nothing is left.
fn title(given: &str) -> Result<Option<String>, Problem> {
    let title = given.trim();
    if title.is_empty() {
        return Ok(None);
    }
    if title.len() > limits::TITLE_BYTES || !text::is_title(title) {
        let detail = format!(
            "`title` must have at most {} bytes, something to see, and no control or format characters",
            limits::TITLE_BYTES
        );
        return Err(Problem::invalid("title", detail));
    }
    Ok(Some(title.to_owned()))
}

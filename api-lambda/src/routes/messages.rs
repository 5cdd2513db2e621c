//! Messages: sent and listed.

use axum::{Json as Answer, extract::State};
use domain::{
    ids::ThreadId,
    limits,
    wire::{Message, Page},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use server::{
    auth::bearer::Bearer,
    json::{Json, Path, Query},
    problem::{Kind, Problem},
};
use store::{messages::Sent, table::Table};

use super::{
    page::{Paging, token},
    write::Write,
};
use crate::{
    answer::{failed, key_reused},
    fanout::drive::Fanout,
};

/// A message to send.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewMessage {
    text: String,
}

/// `POST /v1/threads/{t}/messages`: 201 with the message, or 200 if the key was known.
pub async fn send(
    State(fanout): State<Fanout>,
    Path(thread): Path<ThreadId>,
    write: Write,
    Json(new): Json<NewMessage>,
) -> Result<(StatusCode, Answer<Message>), Problem> {
    if new.text.trim().is_empty() {
        return Err(Problem::invalid("text", "`text` must say something"));
    }
    if new.text.len() > limits::MESSAGE_BYTES {
        let detail = format!("`text` may have at most {} bytes of UTF-8", limits::MESSAGE_BYTES);
        return Err(Problem::new(Kind::TooLarge, detail));
    }
    let origin = write.of(&("message", &thread, &new));
    let (status, entry) = match fanout.table.send(&origin, &thread, &new.text).await.map_err(failed)? {
        Sent::Whole(entry, told) => {
            fanout.whole(&entry, &told).await;
            (StatusCode::CREATED, entry)
        }
        Sent::Committed(entry) => {
            fanout.logged(&entry).await;
            (StatusCode::CREATED, entry)
        }
        Sent::Known(entry) => {
            fanout.logged(&entry).await;
            (StatusCode::OK, entry)
        }
        Sent::KeyReused => return Err(key_reused()),
        Sent::NotMember => return Err(Problem::not_found()),
    };
    let message = entry.message().ok_or_else(Problem::internal)?;
    Ok((status, Answer(message)))
}

/// `GET /v1/threads/{t}/messages`: the latest first.
pub async fn list(
    State(table): State<Table>,
    Bearer(reader): Bearer,
    Path(thread): Path<ThreadId>,
    Query(paging): Query<Paging>,
) -> Result<Answer<Page<Message>>, Problem> {
    let page = table.messages(&reader.user, &thread, paging.place::<u64>()?, paging.limit()?).await;
    let (items, next) = page.map_err(failed)?.ok_or_else(Problem::not_found)?;
    Ok(Answer(Page { items, next: next.map(|tseq| token(&tseq)) }))
}

//! Pages of lists: how many items, and from where.

use data_encoding::BASE64URL_NOPAD;
use domain::{limits, sequence::ThreadSeq};
use serde::{Serialize, de::DeserializeOwned};
use server::problem::Problem;

/// Items to return, from 1 to [`limits::PAGE_ITEMS_MAX`].
pub fn limit(wanted: Option<usize>) -> Result<usize, Problem> {
    let limit = wanted.unwrap_or(limits::PAGE_ITEMS);
    if (1..=limits::PAGE_ITEMS_MAX).contains(&limit) {
        return Ok(limit);
    }
    let detail = format!("`limit` must be a number from 1 to {}", limits::PAGE_ITEMS_MAX);
    Err(Problem::invalid("limit", detail))
}

/// Where the page of this token begins, which the parameter `name` has. Without a token it is nowhere: the first page.
pub fn place<T: DeserializeOwned>(name: &str, token: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(token) = token else { return Ok(None) };
    let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
    let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.map(Some).ok_or_else(|| {
        Problem::invalid(name, format!("`{name}` is not a `next` of this list: start again without it"))
    })
}

/// The place in a thread that this token or tseq names.
pub fn tseq(name: &str, text: &str) -> Result<ThreadSeq, Problem> {
    // A token never is a number: it begins with a letter.
    if let Ok(tseq) = text.parse() {
        return Ok(tseq);
    }
    place(name, Some(text)).ok().flatten().ok_or_else(|| {
        Problem::invalid(name, format!("`{name}` must be a tseq, or a token from a list of these messages"))
    })
}

/// The token of the page that begins at `place`. It names only places that its reader may see:
/// a forged one opens nothing.
pub fn token(place: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(place).expect("ids and numbers always serialise"))
}

//! Pages of lists: how many items, and from where.

use data_encoding::BASE64URL_NOPAD;
use domain::limits;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use server::problem::Problem;

/// The query of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// Items wanted: 1 to [`limits::PAGE_ITEMS_MAX`].
    limit: Option<usize>,
    /// The token of an earlier page.
    #[serde(alias = "before")]
    after: Option<String>,
}

impl Paging {
    /// What the query of a list asks for.
    pub fn of(limit: Option<usize>, after: Option<String>) -> Self {
        Self { limit, after }
    }

    /// Items to return.
    pub fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(limits::PAGE_ITEMS);
        if (1..=limits::PAGE_ITEMS_MAX).contains(&limit) {
            return Ok(limit);
        }
        let detail = format!("`limit` must be a number from 1 to {}", limits::PAGE_ITEMS_MAX);
        Err(Problem::invalid("limit", detail))
    }

    /// Where the page begins: nowhere, for the first one.
    pub fn place<T: DeserializeOwned>(&self) -> Result<Option<T>, Problem> {
        let Some(token) = &self.after else { return Ok(None) };
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.map(Some).ok_or_else(|| {
            Problem::invalid("after", "the page token is not a `next` of this list: start again without it")
        })
    }
}

/// The token of the page that begins at `place`. It names only places that its reader may see:
/// a forged one opens nothing.
pub fn token(place: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(place).expect("ids and numbers always serialise"))
}

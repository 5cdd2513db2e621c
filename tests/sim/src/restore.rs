//! What a restore from a backup takes away, and where everything goes on behind the repair.

use std::collections::BTreeMap;

use crate::{
    cloud::{Cloud, row::number},
    history::History,
};

/// Where inboxes and views stand when a restored table begins to serve: what is below was told before,
/// and its streams are over.
#[derive(Debug, Default)]
pub(crate) struct Base {
    /// The seq of each user row.
    pub(crate) heads: BTreeMap<String, u64>,
    /// (user, thread) → up to where the view was delivered.
    pub(crate) fans: BTreeMap<(String, String), u64>,
    /// Writes that had taken back what only grows.
    went_back: usize,
}

/// Forgets what the table has lost. What it has must survive the repair.
pub(crate) fn forget(cloud: &Cloud, history: &History) {
    let (state, mut known) = (cloud.state(), history.known());
    let has =
        |thread: &str, tseq: u64| state.rows.get(format!("T#{thread}"), format!("E#{tseq:020}")).is_some();
    for said in known.said.values_mut() {
        said.tseq = said.tseq.filter(|tseq| has(&said.thread, *tseq));
    }
    known.threads.retain(|thread| has(thread, 1));
    known.shown.clear();
    known.restores += 1;
    known.base.went_back = state.rows.went_back.len();
}

/// Takes note of where everything stands behind the repair.
pub(crate) fn begin_anew(cloud: &Cloud, history: &History) {
    let (mut state, mut known) = (cloud.state(), history.known());
    // A repair takes back what goes beyond what is left.
    state.rows.went_back.truncate(known.base.went_back);
    let (mut heads, mut fans, mut seen) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for ((pk, sk), item) in state.rows.all() {
        let Some(user) = pk.strip_prefix("U#") else { continue };
        if sk == "HEAD" {
            heads.insert(user.to_owned(), number(item, "seq").unwrap_or(0));
        } else if let Some(thread) = sk.strip_prefix("M#") {
            fans.insert((user.to_owned(), thread.to_owned()), number(item, "delivered_through").unwrap_or(0));
            seen.insert((thread.to_owned(), user.to_owned()), number(item, "seen").unwrap_or(0));
        }
    }
    // A backup may be older than the acceptance.
    known.accepted.clear();
    for (place, marked) in &mut known.seen {
        *marked = seen.get(place).copied().unwrap_or(0).min(*marked);
    }
    (known.base.heads, known.base.fans) = (heads, fans);
}

//! Cases that are found by counting the calls of a run in which nobody dies.

use std::collections::BTreeMap;

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream};
use tests::faults::Made;

/// How often each kind of call was made.
pub(crate) fn kinds(made: Vec<Made>) -> BTreeMap<Made, usize> {
    let mut kinds = BTreeMap::new();
    for made in made {
        *kinds.entry(made).or_default() += 1;
    }
    // Made while a process starts, before it has anything to lose.
    kinds.retain(|made: &Made, _| made.operation != "DescribeTable");
    kinds
}

/// Plays all cases, each under its name, and panics with all that are wrong.
pub(crate) async fn play_all<T>(
    cases: impl Iterator<Item = (String, impl Future<Output = anyhow::Result<T>>)>,
    side_by_side: usize,
) -> Vec<T> {
    let played = stream::iter(cases).map(|(name, case)| async { case.await.context(name) });
    let played: Vec<_> = played.buffer_unordered(side_by_side).collect().await;
    let (mut right, mut wrong, many) = (Vec::new(), Vec::new(), played.len());
    for played in played {
        match played {
            Ok(played) => right.push(played),
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {many} cases:\n{}", wrong.len(), wrong.join("\n"));
    right
}

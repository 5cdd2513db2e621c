//! Parameters that several routes share, as the document describes them.

use domain::{ids::ThreadId, sequence::ThreadSeq};
use utoipa::IntoParams;

/// A thread in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct InThread {
    /// The thread. One that you are no member of is answered like one that does not exist.
    thread: ThreadId,
}

/// A message in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct OfMessage {
    /// The message's place among the thread's logged events.
    tseq: ThreadSeq,
}

/// The header of writes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Key {
    /// Names this write. A retry with the same key is answered and not done again, for 48 hours. A different request with
    /// the same key gets 422. A key in double quotes is the same key as without them.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 257,
        pattern = r#"^("[!#-\[\]-~]{1,255}"|[!#-\[\]-~]{1,255})$"#
    )]
    key: String,
}

/// The condition of writes that change one message or thread.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct OfVersion {
    /// Do it only if this is still the `ETag`. Otherwise the answer is 412, and nothing changes.
    #[param(rename = "If-Match", required = false, example = "*", pattern = r#"^\*$|^"[0-9a-z]{1,40}"$"#)]
    if_match: String,
}

/// How many items a page has.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only its description is used")]
pub(crate) struct Limit {
    /// Items wanted; 50 without it.
    #[param(minimum = 1, maximum = 100, required = false)]
    limit: u32,
}

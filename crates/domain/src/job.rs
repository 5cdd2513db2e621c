//! The message of the fan-out queue: one link of the chain that delivers a large thread's log to its members. It is a
//! hint, like an envelope: the outbox row is the truth.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ThreadId, UserId},
    sequence::ThreadSeq,
};

/// The version written, and the only one read.
const VERSION: u8 = 1;

/// Deliver up to `goal` to the next members of `thread`, in key order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The thread.
    #[serde(rename = "t")]
    pub thread: ThreadId,
    /// `upto` of the outbox row when the chain began.
    pub goal: ThreadSeq,
    /// The last member that the chain has passed; none where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<UserId>,
    /// Whether the delivery to an earlier member failed: the chain goes on, and leaves the row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub missed: bool,
}

/// A body that is no job of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a job of version 1")]
pub struct BadJob;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u8,
    #[serde(flatten)]
    job: T,
}

impl Job {
    /// The first link of a chain.
    pub fn first(thread: ThreadId, goal: ThreadSeq) -> Self {
        Self { thread, goal, after: None, missed: false }
    }

    /// The body to post.
    pub fn encode(&self) -> String {
        serde_json::to_string(&Versioned { v: VERSION, job: self }).expect("ids and numbers always serialise")
    }

    /// Reads the body of a received job.
    ///
    /// # Errors
    /// [`BadJob`]: to be acknowledged and counted; the sweeper finds what it may have meant.
    pub fn decode(body: &str) -> Result<Self, BadJob> {
        let read: Versioned<Self> = serde_json::from_str(body).map_err(|_| BadJob)?;
        if read.v == VERSION { Ok(read.job) } else { Err(BadJob) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_comes_back_as_it_went() {
        let mut job = Job::first(ThreadId::parse("t_abc").unwrap(), ThreadSeq(7));
        assert_eq!(job.encode(), r#"{"v":1,"t":"t_abc","goal":7}"#);
        assert_eq!(Job::decode(&job.encode()), Ok(job.clone()));
        job.after = Some(UserId::parse("bob").unwrap());
        job.missed = true;
        assert_eq!(Job::decode(&job.encode()), Ok(job));
    }

    #[test]
    fn garbage_is_no_job() {
        let bad = [
            "",
            "null",
            "{}",
            r#"{"v":2,"t":"t_abc","goal":7}"#,
            r#"{"v":1,"t":"a#b","goal":7}"#,
            r#"{"v":1,"t":"t_abc","goal":-7}"#,
            r#"{"v":1,"t":"t_abc","goal":7,"after":"a#b"}"#,
        ];
        for body in bad {
            assert_eq!(Job::decode(body), Err(BadJob), "{body}");
        }
    }
}

//! Kinds of failed calls to DynamoDB and SQS: what log lines and metrics count them by.

/// What a failed call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Time: the service cannot be reached, or failed.
    Unavailable,
    /// Fewer calls.
    Throttled,
    /// Fewer writers of the same rows.
    Contended,
    /// A person: the service does not take the call, and will not take it another time.
    Refused,
    /// A person: what was read is not what this version writes.
    Corrupt,
    /// Another queue: this one does not exist.
    Gone,
}

impl Failure {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Unavailable, Self::Throttled, Self::Contended, Self::Refused, Self::Corrupt, Self::Gone];

    /// Its word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::Contended => "contended",
            Self::Refused => "refused",
            Self::Corrupt => "corrupt",
            Self::Gone => "gone",
        }
    }
}

/// An error of a call that failed.
pub trait Failed: std::error::Error {
    /// What kind of failure it is.
    fn failure(&self) -> Failure;

    /// Its sentence and all its causes, for a log line.
    fn story(&self) -> String {
        let causes = std::iter::successors(self.source(), |error| error.source());
        causes.fold(self.to_string(), |all, cause| all + ": " + &cause.to_string())
    }
}

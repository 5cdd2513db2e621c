//! What can go wrong with the table, by what the caller does about it.

use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::CancellationReason,
};
use domain::failure::{Failed, Failure};

/// What a failure was caused by.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed operation on the table. A conflict is not one: `retry.rs` repeats the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DynamoDB cannot be reached or failed: come back soon. A write may have happened.
    #[error("the table is unavailable")]
    Unavailable(#[source] Cause),
    /// DynamoDB asks for fewer calls: come back later. A write may have happened.
    #[error("the table throttles")]
    Throttled(#[source] Cause),
    /// Every attempt lost the race to another writer: retry soon. Nothing was written.
    #[error("too many writers at once")]
    Contended,
    /// DynamoDB rejects the request, and would reject a retry: a permission or the table is missing, or the request is
    /// wrong. An operator must act.
    #[error("the table refuses the request")]
    Refused(#[source] Cause),
    /// A row is not what this version writes: a person has to look.
    #[error("the row `{key}` cannot be read")]
    Corrupt {
        /// The row.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The table is not there, or not Runnel's: the deployment is wrong.
    #[error("no table `{0}` in this account and region; check RUNNEL_TABLE, AWS_REGION and the endpoint")]
    NoTable(String),
    /// At the start, DynamoDB cannot be asked for the table: the settings are wrong, or it is down.
    #[error("cannot open the table `{name}`: check the endpoint, AWS_REGION and the credentials")]
    NoDatabase {
        /// The table.
        name: String,
        /// What went wrong.
        #[source]
        source: Cause,
    },
}

impl Error {
    /// Whether it passes by itself, so that another try may succeed.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Throttled(_) | Self::Contended)
    }
}

impl Failed for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Unavailable(_) => Failure::Unavailable,
            Self::Throttled(_) => Failure::Throttled,
            Self::Contended => Failure::Contended,
            Self::Refused(_) | Self::NoTable(_) | Self::NoDatabase { .. } => Failure::Refused,
            Self::Corrupt { .. } => Failure::Corrupt,
        }
    }
}

/// By DynamoDB's codes (API reference, "Common Errors" and "Error handling with DynamoDB").
impl<E> From<SdkError<E, HttpResponse>> for Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let answer = match &error {
            SdkError::ServiceError(answer) => answer,
            // No request was ever made.
            SdkError::ConstructionFailure(_) => return Self::Refused(Box::new(error)),
            _ => return Self::Unavailable(Box::new(error)),
        };
        match answer.err().code().unwrap_or_default() {
            // A write to one row meets a transaction that has the row.
            "TransactionConflictException" | "ReplicatedWriteConflictException" => Self::Contended,
            "ThrottlingException"
            | "ProvisionedThroughputExceededException"
            | "RequestLimitExceeded"
            | "LimitExceededException" => Self::Throttled(Box::new(error)),
            // The same transaction, sent before, is still under way.
            "TransactionInProgressException" => Self::Unavailable(Box::new(error)),
            _ => match answer.raw().status().as_u16() {
                429 => Self::Throttled(Box::new(error)),
                400..=499 if answer.raw().status().as_u16() != 408 => Self::Refused(Box::new(error)),
                _ => Self::Unavailable(Box::new(error)),
            },
        }
    }
}

/// What a cancelled transaction means: `None` if others were faster, and another try may succeed.
///
/// By the codes that DynamoDB gives for each item (API reference, `TransactWriteItems`, `TransactionCanceledException`).
pub(crate) fn cancelled(reasons: &[CancellationReason], error: impl Into<Cause>) -> Option<Error> {
    let codes = || reasons.iter().filter_map(|reason| reason.code());
    let is_lost =
        |code: &str| matches!(code, "ConditionalCheckFailed" | "TransactionConflict" | "DuplicateItem");
    let is_throttle = |code: &str| {
        matches!(code, "ThrottlingError" | "ProvisionedThroughputExceeded" | "RequestLimitExceeded")
    };
    let is_refusal = |code: &str| !matches!(code, "None" | "") && !is_lost(code) && !is_throttle(code);
    if codes().any(is_refusal) {
        Some(Error::Refused(error.into()))
    } else if codes().any(is_throttle) {
        Some(Error::Throttled(error.into()))
    } else {
        None
    }
}

/// Whether a conditional write happened: a condition that does not hold is a value, not an error.
pub(crate) fn held<T, E>(sent: Result<T, SdkError<E, HttpResponse>>) -> Result<bool, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match sent {
        Ok(_) => Ok(true),
        Err(e)
            if e.as_service_error().and_then(ProvideErrorMetadata::code)
                == Some("ConditionalCheckFailedException") =>
        {
            Ok(false)
        }
        Err(e) => Err(e.into()),
    }
}

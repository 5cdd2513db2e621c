//! What can go wrong with a queue, by what the caller does about it.

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};

/// A failed call to SQS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue does not exist: take another one, or create it anew.
    #[error("the queue does not exist")]
    Gone,
    /// SQS asks for fewer calls: come back later.
    #[error("the queue service throttles")]
    Throttled(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else: come back soon; the outcome may be either.
    #[error("the queue service is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl<E, R> From<SdkError<E, R>> for Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
        match code {
            "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => Self::Gone,
            "RequestThrottled" | "ThrottlingException" | "KmsThrottled" | "OverLimit" => {
                Self::Throttled(Box::new(error))
            }
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

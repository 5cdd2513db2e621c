//! What can go wrong with a queue, by what the caller does about it.

use aws_sdk_sqs::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use domain::failure::{Failed, Failure};

/// What a failure was caused by.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A failed call to SQS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue does not exist: take another one, or create it anew.
    #[error("the queue does not exist")]
    Gone,
    /// SQS asks for fewer calls: come back later.
    #[error("the queue service throttles")]
    Throttled(#[source] Cause),
    /// SQS cannot be reached or failed: come back soon; the outcome may be either.
    #[error("the queue service is unavailable")]
    Unavailable(#[source] Cause),
    /// SQS does not take the request, and would not take it another time: a right is missing, or the request is wrong.
    /// A person has to look.
    #[error("the queue service refuses the request")]
    Refused(#[source] Cause),
}

impl Failed for Error {
    fn failure(&self) -> Failure {
        match self {
            Self::Gone => Failure::Gone,
            Self::Throttled(_) => Failure::Throttled,
            Self::Unavailable(_) => Failure::Unavailable,
            Self::Refused(_) => Failure::Refused,
        }
    }
}

/// By the codes of SQS (API reference, "Common Errors", and the errors of each action).
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
            "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => Self::Gone,
            "RequestThrottled" | "ThrottlingException" | "Throttling" | "KmsThrottled" | "OverLimit" => {
                Self::Throttled(Box::new(error))
            }
            // Of the same name a minute ago (`DeleteQueue`): SQS takes the new one soon.
            "AWS.SimpleQueueService.QueueDeletedRecently" | "QueueDeletedRecently" => {
                Self::Unavailable(Box::new(error))
            }
            _ => match answer.raw().status().as_u16() {
                429 => Self::Throttled(Box::new(error)),
                400..=499 if answer.raw().status().as_u16() != 408 => Self::Refused(Box::new(error)),
                _ => Self::Unavailable(Box::new(error)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::{error::ErrorMetadata, operation::send_message::SendMessageError};
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn of(status: u16, code: &str) -> Failure {
        let error = SendMessageError::generic(ErrorMetadata::builder().code(code).build());
        let answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
        Error::from(SdkError::service_error(error, answer)).failure()
    }

    #[test]
    fn what_sqs_refuses_is_told_apart() {
        for (status, code, failure) in [
            (400, "AWS.SimpleQueueService.NonExistentQueue", Failure::Gone),
            (400, "QueueDoesNotExist", Failure::Gone),
            (400, "RequestThrottled", Failure::Throttled),
            (403, "ThrottlingException", Failure::Throttled),
            (403, "OverLimit", Failure::Throttled),
            (429, "SomethingNew", Failure::Throttled),
            (400, "AWS.SimpleQueueService.QueueDeletedRecently", Failure::Unavailable),
            (408, "RequestTimeout", Failure::Unavailable),
            (500, "InternalError", Failure::Unavailable),
            (503, "ServiceUnavailable", Failure::Unavailable),
            (403, "AccessDenied", Failure::Refused),
            (400, "InvalidParameterValue", Failure::Refused),
            (400, "InvalidMessageContents", Failure::Refused),
        ] {
            assert_eq!(of(status, code), failure, "{status} {code}");
        }
    }

    #[test]
    fn a_request_that_was_never_made_is_refused_and_an_answer_that_never_came_is_not() {
        let never_made: SdkError<SendMessageError> = SdkError::construction_failure("no queue url");
        assert_eq!(Error::from(never_made).failure(), Failure::Refused);
        let late: SdkError<SendMessageError> = SdkError::timeout_error("no answer");
        assert_eq!(Error::from(late).failure(), Failure::Unavailable);
    }
}

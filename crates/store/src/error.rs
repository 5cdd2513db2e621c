//! What can go wrong with the table, by what the caller does about it.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

/// A failed operation on the table. Lost races are values, not errors.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DynamoDB cannot be reached, throttles or failed: come back soon. A write may have happened.
    #[error("the table is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Others were faster on every try: come back soon. Nothing was written.
    #[error("too many writers at once")]
    Contended,
    /// A row is not what this version writes: a person has to look.
    #[error("the row `{key}` cannot be read")]
    Corrupt {
        /// The row.
        key: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl<E, R> From<SdkError<E, R>> for Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        Self::Unavailable(Box::new(error))
    }
}

/// Whether a conditional write happened: a condition that does not hold is a value, not an error.
pub(crate) fn held<T, E, R>(sent: Result<T, SdkError<E, R>>) -> Result<bool, Error>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
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

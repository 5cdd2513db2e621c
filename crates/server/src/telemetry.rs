//! Logs: text for people, JSON for collectors, always on stderr so that stdout stays free for answers.

use std::{env, io, io::IsTerminal as _};

use clap::ValueEnum;
use tracing_subscriber::{
    filter::Targets, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _,
};

/// What is logged when neither `RUNNEL_LOG` nor `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info,hyper=warn,dynoxide=error,rustack_sqs_core=warn,aws=warn,aws_config=error";

/// What `--help` says of the logs.
pub const HELP: &str =
    "Logs go to stderr. Filter them with RUNNEL_LOG or RUST_LOG: `info`, or `warn,sse_edge=debug`.";

/// The end of a `--help`: `text`, then what it says of the logs.
pub fn help_after(text: &str) -> String {
    format!("{text}\n\n{HELP}")
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One readable line an event, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the logs of this process to stderr. A second call does nothing, so tests may call it freely.
///
/// The filter is `RUNNEL_LOG`, else `RUST_LOG`, else a quiet `info`; one that cannot be read is reported and replaced by the last.
pub fn init(format: LogFormat) {
    let (filter, complaint) = filter(["RUNNEL_LOG", "RUST_LOG"].map(|name| env::var(name).ok()));
    let (filtered, lines) = (registry().with(filter), fmt::layer().with_writer(io::stderr));
    // The only failure is that a subscriber is there already.
    let first = match format {
        LogFormat::Text => {
            filtered.with(lines.with_ansi(io::stderr().is_terminal()).with_target(false)).try_init()
        }
        LogFormat::Json => filtered.with(lines.json().flatten_event(true)).try_init(),
    }
    .is_ok();
    if let (true, Some(complaint)) = (first, complaint) {
        tracing::warn!("{complaint}");
    }
}

/// The first filter that is set and not empty, and what to say when it is not one.
///
/// Not an `EnvFilter`: that one brings an engine for regular expressions into every program.
fn filter(set: [Option<String>; 2]) -> (Targets, Option<String>) {
    let quiet = || DEFAULT_FILTER.parse().expect("the default is a filter");
    let spec = set.into_iter().flatten().find(|spec| !spec.is_empty());
    match spec.as_deref().map(str::parse) {
        None => (quiet(), None),
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => {
            let complaint = format!(
                "the log filter cannot be read ({error}); using `{DEFAULT_FILTER}` until RUNNEL_LOG or RUST_LOG is fixed"
            );
            (quiet(), Some(complaint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_may_be_called_twice() {
        init(LogFormat::Text);
        init(LogFormat::Json);
    }

    #[test]
    fn the_projects_own_variable_wins() {
        let (filter, complaint) = filter([Some("debug".to_owned()), Some("error".to_owned())]);
        assert_eq!(filter.to_string(), "debug");
        assert_eq!(complaint, None);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_reported_and_replaced() {
        let (filter, complaint) = filter([Some("info=info=info".to_owned()), None]);
        assert!(filter.to_string().contains("hyper=warn"));
        assert!(complaint.unwrap().contains("RUNNEL_LOG"));
    }

    #[test]
    fn an_empty_variable_counts_as_absent() {
        let (filter, complaint) = filter([Some(String::new()), Some("error".to_owned())]);
        assert_eq!((filter.to_string().as_str(), complaint), ("error", None));
    }
}

//! The settings of an edge. `--help` is their reference.

use std::{fmt, net::SocketAddr, ops::RangeBounds, str::FromStr, time::Duration};

use clap::{ValueEnum, builder::TypedValueParser};
use domain::limits;
use http::HeaderName;
use server::listener;

/// Least milliseconds of `retry`: below, Firefox rounds up and a fleet of clients hammers.
const RETRY_MS_MIN: u32 = 100;

/// Drain window unless a setting says otherwise. A task has 120 s from SIGTERM (`infra/edge.yaml`).
const DRAIN: Duration = Duration::from_secs(20);

/// Heading in `--help` of the settings below.
const STREAMS: &str = "Streams";

/// How an edge holds and keeps its streams.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = STREAMS)]
pub struct EdgeArgs {
    /// Queue layout: one per user, or one per edge. With more than a few thousand streams on an edge, `per-edge` costs
    /// about a tenth of `per-user`. Writers are unaffected.
    #[arg(long, env = "RUNNEL_QUEUES", value_enum, default_value_t = Topology::PerUser)]
    pub queues: Topology,
    /// Maximum streams and polls of the edge. Further clients are asked to retry later.
    #[arg(long, env = "RUNNEL_MAX_STREAMS", value_name = "N", default_value_t = limits::EDGE_STREAMS)]
    pub max_streams: usize,
    /// Maximum streams and polls from one client address, or from one /64 of IPv6. Private and loopback addresses are
    /// not limited: they are proxies.
    #[arg(long, env = "RUNNEL_ADDRESS_STREAMS", value_name = "N", default_value_t = limits::ADDRESS_STREAMS)]
    pub address_streams: usize,
    /// Header that carries the client's address, such as `CloudFront-Viewer-Address`. Of `X-Forwarded-For`, the last
    /// entry counts. Set this only if your proxy always overwrites the header: otherwise clients can spoof it. Default:
    /// the address of the TCP peer.
    #[arg(long, env = "RUNNEL_ADDRESS_HEADER", value_name = "NAME")]
    pub address_header: Option<HeaderName>,
    /// Seconds between two pings of a stream. Proxies close a stream after 30 to 60 seconds of silence.
    #[arg(long = "ping-seconds", env = "RUNNEL_PING_SECONDS", value_name = "SECONDS",
          default_value = digits(limits::PING), value_parser = seconds(1..30))]
    pub ping: Duration,
    /// Seconds, ± 20 %, from activity to the next comparison of a user's cursor with the user row, which finds an event
    /// whose queue message was lost. Each comparison that finds nothing doubles the time, up to 10 minutes.
    #[arg(long = "head-check-seconds", env = "RUNNEL_HEAD_CHECK_SECONDS", value_name = "SECONDS",
          default_value = digits(limits::HEAD_CHECK), value_parser = seconds(1..=3600))]
    pub head_check: Duration,
    /// Milliseconds after which a client reconnects, drawn at random for each stream.
    #[arg(long, env = "RUNNEL_RETRY_MS", value_name = "MIN-MAX", default_value_t = RetryRange::NORMAL)]
    pub retry_ms: RetryRange,
    /// Seconds for which the edge keeps a user's lease after the user's last stream closes.
    #[arg(long = "linger-seconds", env = "RUNNEL_LINGER_SECONDS", value_name = "SECONDS",
          default_value = digits(limits::LINGER), value_parser = seconds(0..))]
    pub linger: Duration,
    /// Seconds, ± 20 %, between two searches for unused queues.
    #[arg(long = "reap-seconds", env = "RUNNEL_REAP_SECONDS", value_name = "SECONDS",
          default_value = digits(limits::REAP_PERIOD), value_parser = seconds(1..))]
    pub reap: Duration,
    /// Seconds over which a stopping edge spreads the end of its streams. `runnel` in one process uses at most 1.
    #[arg(long = "drain-seconds", env = "RUNNEL_DRAIN_SECONDS", value_name = "SECONDS",
          default_value = digits(DRAIN), value_parser = seconds(0..=100))]
    pub drain: Duration,
    /// Address that serves Prometheus metrics at `/metrics`. Keep it private. Default: none.
    #[arg(long, env = "RUNNEL_METRICS_LISTEN", value_name = "ADDRESS", value_parser = listener::address::parse)]
    pub metrics_listen: Option<SocketAddr>,
    /// Seconds between two log lines with the number of streams, the longest lag and the oldest check, for
    /// log-based metrics. Default: none.
    #[arg(long = "report-seconds", env = "RUNNEL_REPORT_SECONDS", value_name = "SECONDS", value_parser = seconds(1..))]
    pub report: Option<Duration>,
}

impl EdgeArgs {
    /// The options of the listener. An address may have twice as many connections as streams, since a browser opens some for
    /// its requests. Behind a proxy, one address is that of many clients.
    pub fn listener_options(&self) -> listener::Options {
        let most = self.address_streams.saturating_mul(2);
        let address_connections_max = self.address_header.is_none().then_some(most);
        listener::Options { address_connections_max, ..listener::Options::default() }
    }
}

impl Default for EdgeArgs {
    fn default() -> Self {
        Self {
            queues: Topology::PerUser,
            ping: limits::PING,
            head_check: limits::HEAD_CHECK,
            retry_ms: RetryRange::NORMAL,
            max_streams: limits::EDGE_STREAMS,
            address_streams: limits::ADDRESS_STREAMS,
            address_header: None,
            metrics_listen: None,
            report: None,
            linger: limits::LINGER,
            reap: limits::REAP_PERIOD,
            drain: DRAIN,
        }
    }
}

/// Reads a whole number of seconds in `range`.
fn seconds(range: impl RangeBounds<u64>) -> impl TypedValueParser<Value = Duration> {
    clap::value_parser!(u64).range(range).map(Duration::from_secs)
}

/// The text that [`seconds`] reads as `duration`.
fn digits(duration: Duration) -> String {
    duration.as_secs().to_string()
}

/// The queue layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Topology {
    /// One queue per user: simple, prompt, for up to about 5,000 users an edge.
    PerUser,
    /// One queue per edge, for many thousands of streams.
    PerEdge,
}

/// Milliseconds from which a `retry` is drawn, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryRange {
    min: u32,
    max: u32,
}

/// The text is no range of `retry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write two numbers of milliseconds, at least 100, the smaller first, such as `2000-10000`")]
pub struct BadRange;

impl RetryRange {
    /// For streams that may come back soon: browsers add no jitter of their own.
    pub const NORMAL: Self = Self { min: 2_000, max: 10_000 };
    /// For streams that should come back later.
    pub const LATER: Self = Self { min: *limits::RETRY_LATER_MS.start(), max: *limits::RETRY_LATER_MS.end() };

    /// One `retry`, in milliseconds.
    pub fn draw(self) -> u32 {
        rng::range(self.min..=self.max)
    }
}

impl fmt::Display for RetryRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

impl FromStr for RetryRange {
    type Err = BadRange;

    fn from_str(text: &str) -> Result<Self, BadRange> {
        let (min, max) = text.split_once('-').ok_or(BadRange)?;
        let [min, max] = [min, max].map(|part| part.trim().parse::<u32>().map_err(|_| BadRange));
        let range = Self { min: min?, max: max? };
        if range.min < RETRY_MS_MIN || range.min > range.max { Err(BadRange) } else { Ok(range) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        edge: EdgeArgs,
    }

    #[test]
    fn a_retry_range_is_two_ascending_numbers() {
        assert_eq!("300-700".parse(), Ok(RetryRange { min: 300, max: 700 }));
        assert_eq!(RetryRange::NORMAL.to_string().parse(), Ok(RetryRange::NORMAL));
        for bad in ["", "300", "700-300", "99-300", "-1-5", "a-b", "300-700-900", "300-4294967296"] {
            assert_eq!(bad.parse::<RetryRange>(), Err(BadRange), "{bad}");
        }
    }

    #[test]
    fn a_draw_stays_in_its_range_and_differs() {
        let range = RetryRange { min: 100, max: 1_000_000 };
        let draws: std::collections::HashSet<u32> = (0..100).map(|_| range.draw()).collect();
        assert!(draws.iter().all(|ms| (100..=1_000_000).contains(ms)));
        assert!(draws.len() > 50);
    }

    #[test]
    fn no_arguments_mean_the_default() {
        let parsed = Cli::parse_from(["edge"]).edge;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", EdgeArgs::default()));
    }

    #[test]
    fn a_ping_slower_than_cloudfront_is_refused() {
        assert!(Cli::try_parse_from(["edge", "--ping-seconds", "30"]).is_err());
        assert!(Cli::try_parse_from(["edge", "--ping-seconds", "29"]).is_ok());
    }
}

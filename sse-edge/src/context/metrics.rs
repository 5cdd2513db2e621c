//! What an edge counts, and under which names. All of them on this page.
//!
//! Each edge has a recorder of its own instead of the process's, so that several edges in one
//! process do not add up, and so that counting costs no lookup.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use domain::failure::Failure;
use metrics::{Counter, Gauge, Histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::wire::reason::{CloseReason, EndReason, Limit, ResetReason};

/// Open streams.
const STREAMS: &str = "edge_streams";
/// Frames handed to a socket, pings and all.
const FRAMES: &str = "edge_frames_total";
/// Envelopes received.
const ENVELOPES: &str = "edge_envelopes_total";
/// Envelopes that were of another version or none.
const BAD_ENVELOPES: &str = "edge_bad_envelopes_total";
/// From the post of an envelope to the hand-over to a socket, in seconds.
const LAG: &str = "edge_lag_seconds";
/// Reads of an inbox, for one stream or for the ring.
const REPLAYS: &str = "edge_replays_total";
/// Streams told to list again, by `reason`.
const RESETS: &str = "edge_resets_total";
/// Holes of an inbox that lasted and were given up.
const HOLES: &str = "edge_holes_total";
/// Ends of streams, by `reason`.
const CLOSES: &str = "edge_closes_total";
/// Streams and polls that found no place, by `cap`.
const REFUSALS: &str = "edge_refusals_total";
/// Typing events that came too often or too late, or while the edge was behind.
const TYPING_SHED: &str = "edge_typing_shed_total";
/// Leases taken, also again.
const LEASE_TAKES: &str = "edge_lease_takes_total";
/// Queues deleted because nobody used them.
const REAPED: &str = "edge_reaped_queues_total";
/// Seconds by which the most overdue comparison of a cursor with its user row is late.
const UNCHECKED: &str = "edge_oldest_unchecked_seconds";
/// Head checks that found a user behind.
const BEHIND: &str = "edge_behind_total";
/// Calls to DynamoDB or SQS that failed for good, by `failure`.
const FAILED_CALLS: &str = "edge_failed_calls_total";

/// Upper ends of the lag's buckets, in seconds: 5 ms is a good day, 60 s the head check.
const LAG_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];

/// The counters of one edge.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    pub(crate) streams: Gauge,
    pub(crate) frames: Counter,
    pub(crate) envelopes: Counter,
    pub(crate) bad_envelopes: Counter,
    lag: Histogram,
    /// The longest lag since somebody asked, in milliseconds.
    longest_lag_ms: AtomicU64,
    pub(crate) replays: Counter,
    pub(crate) holes: Counter,
    pub(crate) typing_shed: Counter,
    pub(crate) lease_takes: Counter,
    pub(crate) reaped: Counter,
    pub(crate) unchecked: Gauge,
    pub(crate) behind: Counter,
    failed_calls: [(Failure, Counter); Failure::ALL.len()],
    resets: [Counter; ResetReason::ALL.len()],
    closes: [Counter; CloseReason::ALL.len()],
    refusals: [Counter; Limit::ALL.len()],
    gone: Counter,
    polled: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(LAG.to_owned()), &LAG_BUCKETS)
            .expect("there are buckets")
            .build_recorder();
        with_local_recorder(&recorder, || Self {
            handle: recorder.handle(),
            streams: metrics::gauge!(STREAMS),
            frames: metrics::counter!(FRAMES),
            envelopes: metrics::counter!(ENVELOPES),
            bad_envelopes: metrics::counter!(BAD_ENVELOPES),
            lag: metrics::histogram!(LAG),
            longest_lag_ms: AtomicU64::new(0),
            replays: metrics::counter!(REPLAYS),
            holes: metrics::counter!(HOLES),
            typing_shed: metrics::counter!(TYPING_SHED),
            lease_takes: metrics::counter!(LEASE_TAKES),
            reaped: metrics::counter!(REAPED),
            unchecked: metrics::gauge!(UNCHECKED),
            behind: metrics::counter!(BEHIND),
            failed_calls: Failure::ALL
                .map(|failure| (failure, metrics::counter!(FAILED_CALLS, "failure" => failure.as_str()))),
            resets: ResetReason::ALL.map(|why| metrics::counter!(RESETS, "reason" => why.as_str())),
            closes: CloseReason::ALL.map(|why| metrics::counter!(CLOSES, "reason" => why.as_str())),
            refusals: Limit::ALL.map(|limit| metrics::counter!(REFUSALS, "cap" => limit.as_str())),
            polled: metrics::counter!(CLOSES, "reason" => EndReason::Polled.as_str()),
            gone: metrics::counter!(CLOSES, "reason" => EndReason::Gone.as_str()),
        })
    }

    /// An envelope has come to a socket this long after its post.
    pub(crate) fn lagged(&self, lag: Duration) {
        self.lag.record(lag.as_secs_f64());
        let ms = u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
        self.longest_lag_ms.fetch_max(ms, Ordering::Relaxed);
    }

    /// The longest lag since this was last asked.
    pub(crate) fn take_longest_lag(&self) -> Duration {
        Duration::from_millis(self.longest_lag_ms.swap(0, Ordering::Relaxed))
    }

    pub(crate) fn fail(&self, how: Failure) {
        self.failed_calls
            .iter()
            .filter(|(each, _)| *each == how)
            .for_each(|(_, counter)| counter.increment(1));
    }

    pub(crate) fn reset(&self, why: ResetReason) {
        self.resets[why as usize].increment(1);
    }

    pub(crate) fn refuse(&self, limit: Limit) {
        self.refusals[limit as usize].increment(1);
    }

    pub(crate) fn close(&self, why: EndReason) {
        match why {
            EndReason::Gone => self.gone.increment(1),
            EndReason::Polled => self.polled.increment(1),
            EndReason::Closed(why) => self.closes[why as usize].increment(1),
        }
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds the samples of the histogram, which otherwise grow until the next scrape.
    pub(crate) fn fold(&self) {
        self.handle.run_upkeep();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_edge_counts_for_itself_and_every_reason_is_there_from_the_start() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.frames.increment(3);
        one.close(EndReason::Closed(CloseReason::Drain));
        one.reset(ResetReason::Gap);
        one.lagged(Duration::from_millis(20));
        let text = one.render();
        for line in [
            "edge_frames_total 3",
            "edge_closes_total{reason=\"drain\"} 1",
            "edge_closes_total{reason=\"gone\"} 0",
            "edge_resets_total{reason=\"hole\"} 1",
            "edge_lag_seconds_bucket{le=\"0.025\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(other.render().contains("edge_frames_total 0"));
    }

    #[test]
    fn the_longest_lag_is_told_once() {
        let metrics = Metrics::new();
        for ms in [7, 30, 9] {
            metrics.lagged(Duration::from_millis(ms));
        }
        assert_eq!(metrics.take_longest_lag(), Duration::from_millis(30));
        assert_eq!(metrics.take_longest_lag(), Duration::ZERO);
    }
}

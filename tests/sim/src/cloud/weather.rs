//! How badly the cloud behaves at a time. Every number is a probability, but for those with a unit.

/// A kind of weather.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// A request never arrives.
    pub(crate) error: f64,
    /// A request is served and its answer lost.
    pub(crate) lost: f64,
    /// A request or its answer takes seconds.
    pub(crate) slow: f64,
    /// Microseconds that a request or its answer takes at most, unless it is slow.
    pub(crate) leg_us: u64,
    /// Too many requests, says the service.
    pub(crate) throttle: f64,
    /// Milliseconds within which the rows of a transaction are applied, each by itself.
    pub(crate) spread_ms: u64,
    /// One row of a transaction is applied later than the others.
    pub(crate) late: f64,
    /// By so many milliseconds at most.
    pub(crate) late_ms: u64,
    /// The answer of a transaction comes before its rows are applied.
    pub(crate) early: f64,
    /// An eventually consistent read is behind.
    pub(crate) stale: f64,
    /// A transaction meets another one, item by item.
    pub(crate) conflict: f64,
    /// A page or batch is short.
    pub(crate) short: f64,
    /// A message, or its ack, is lost.
    pub(crate) lose: f64,
    /// A message is there twice.
    pub(crate) double: f64,
    /// A message is late.
    pub(crate) delay: f64,
    /// A receive whose caller has gone goes on as if it had not.
    pub(crate) haunt: f64,
    /// Milliseconds until another one has noticed.
    pub(crate) notice_ms: u64,
}

impl Weather {
    /// Everything takes its time, as the contracts allow, and nothing is lost, refused, or hidden for
    /// longer than it takes: whatever is late, the service is to blame.
    pub(crate) const STILL: Self =
        Self { leg_us: 40_000, spread_ms: 60, haunt: 0.0, notice_ms: 0, ..Self::CALM };
    /// The same, but answers are lost.
    pub(crate) const QUIET: Self = Self { lost: 0.03, ..Self::STILL };
    /// All that can go right does, but transactions are as they are.
    pub(crate) const CALM: Self = Self {
        error: 0.0,
        lost: 0.0,
        slow: 0.0,
        leg_us: 3_000,
        throttle: 0.0,
        spread_ms: 10,
        late: 0.02,
        late_ms: 500,
        early: 0.1,
        stale: 0.3,
        conflict: 0.0,
        short: 0.0,
        lose: 0.0,
        double: 0.0,
        delay: 0.0,
        haunt: 0.3,
        notice_ms: 50,
    };
    /// A day like any other in a large account.
    pub(crate) const FAIR: Self = Self {
        error: 0.002,
        lost: 0.002,
        slow: 0.002,
        leg_us: 3_000,
        throttle: 0.002,
        spread_ms: 60,
        late: 0.12,
        late_ms: 2_000,
        early: 0.2,
        stale: 0.5,
        conflict: 0.005,
        short: 0.05,
        lose: 0.06,
        double: 0.03,
        delay: 0.02,
        haunt: 0.3,
        notice_ms: 50,
    };
    /// The same, but a few rows are hidden for so long that others fill an inbox meanwhile.
    pub(crate) const HAZY: Self = Self { late: 0.05, late_ms: 60_000, ..Self::FAIR };
    /// An outage is near.
    pub(crate) const STORM: Self = Self {
        error: 0.06,
        lost: 0.06,
        slow: 0.04,
        leg_us: 3_000,
        throttle: 0.06,
        spread_ms: 800,
        late: 0.2,
        late_ms: 5_000,
        early: 0.3,
        stale: 0.9,
        conflict: 0.05,
        short: 0.3,
        lose: 0.3,
        double: 0.2,
        delay: 0.2,
        haunt: 0.3,
        notice_ms: 50,
    };
}

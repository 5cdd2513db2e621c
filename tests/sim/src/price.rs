//! Prices what was counted, and holds it against `docs/COST.md`: its counts are bars that may only go
//! down, and its dollars follow from its counts and its prices.

use std::{collections::BTreeMap, fmt::Write as _, fs, sync::LazyLock};

use crate::{cloud::bill::Bill, hour::Row};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/COST.md");
static DOCS: LazyLock<String> = LazyLock::new(|| fs::read_to_string(PATH).expect("the docs"));
/// Hours of a month of 30 days.
const MONTH: f64 = 720.0;
/// Messages that each user sends in a month: 20 a day, all of them in threads of two.
const MESSAGES: f64 = 600.0;
/// Seconds of a function's time and gigabytes of its memory for a message: three round trips to AWS in a row,
/// by guess, and `MemorySize` of `template.yaml`.
const FUNCTION: (f64, f64) = (0.02, 0.5);
/// What users do besides, with the requests of one a month, and what one costs: read units, write units, SQS requests.
/// Units by the rows of each operation in a direct thread; posts are received and acked as those of a message are.
const BESIDES: [(&str, f64, [f64; 3]); 3] = [
    ("seen, 10 times a day", 300.0, [4.0, 4.0, 4.6]),
    ("typing, 40 requests a day", 1_200.0, [2.0, 0.0, 2.3]),
    ("presence, looked at for an hour a day", 1_800.0, [2.0, 0.0, 0.0]),
];
/// How often a stream is opened in a month: `STREAM_AGE` ends one each hour.
const OPENED: f64 = MONTH;
/// Gigabytes that a stream brings in a month by its pings alone, and bytes of each message beside them.
const PINGS_GB: f64 = 0.019;
const FRAME_GB: f64 = 5e-7;
/// Gigabytes of log for a request: the access log's line, and two of Lambda.
const LOG_GB: f64 = 1.05e-6;
/// Gigabytes of a message that is kept for good.
const KEPT_GB: f64 = 4.5e-7;
/// Users of the three columns.
const USERS: [f64; 3] = [1_000.0, 10_000.0, 1_000_000.0];
/// How far below its bar a count may be before the bar has to come down.
const SLACK: f64 = 1.1;
/// The same, in requests: what an edge itself asks for is what is left of thousands when those of its streams
/// are taken away.
const LEFT: f64 = 2.5;

/// What is wrong with the docs.
pub(crate) fn compare(measured: &[Row]) -> Vec<String> {
    let told: BTreeMap<&str, Bill> = table("| of AWS |").map(|row| (row[0], bill(&row))).collect();
    let mut wrong = Vec::new();
    for (what, counted) in measured {
        let bar = told.get(what.as_str()).copied().unwrap_or_default();
        let held = [(counted.reads, bar.reads), (counted.writes, bar.writes), (counted.queues, bar.queues)];
        let least = if what.starts_with("an edge") { LEFT } else { 0.1 };
        if !held.iter().all(|(counted, bar)| counted <= bar && *bar <= counted.mul_add(SLACK, least)) {
            let Bill { reads, writes, queues } = counted;
            wrong.push(format!("docs/COST.md: counted | {what} | {reads:.2} | {writes:.2} | {queues:.2} |"));
        }
    }
    if wrong.is_empty() {
        for (head, priced) in
            [("| a month |", month(&told, &prices())), ("| besides, a month |", besides(&prices()))]
        {
            let found: Vec<String> = table(head).map(|row| format!("| {} |", row.join(" | "))).collect();
            if found != priced {
                wrong.push(format!("docs/COST.md should read\n{}", priced.join("\n")));
            }
        }
    }
    wrong
}

/// The rows of a table of the docs, without its head.
fn table(head: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = DOCS.lines().skip_while(move |line| !line.starts_with(head));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn number(cell: &str) -> f64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("docs/COST.md: `{cell}` is no number"))
}

fn bill(row: &[&str]) -> Bill {
    Bill { reads: number(row[1]), writes: number(row[2]), queues: number(row[3]) }
}

fn prices() -> BTreeMap<&'static str, f64> {
    table("| price |").map(|row| (row[0], number(row[1]))).collect()
}

/// A month's dollars, for each column.
fn month(told: &BTreeMap<&str, Bill>, prices: &BTreeMap<&str, f64>) -> Vec<String> {
    let runnel = |topology: &'static str, per_edge: f64, messages: f64| {
        move |users: f64| Fleet { told, prices, topology, per_edge }.month(users, messages)
    };
    let price = |name: &str| prices[name];
    let millions = |count: f64| count / 1e6;
    let minutes = |users: f64| millions(users * MONTH * 60.0);
    // Each message comes in once and goes out once.
    let passed = |users: f64| millions(users * MESSAGES * 2.0);
    let tiered = |count: f64, first: &str, then: &str| {
        count.min(1_000.0) * price(first) + (count - 1_000.0).max(0.0) * price(then)
    };
    vec![
        line("Runnel, per-user queues", runnel("per-user", 4_000.0, MESSAGES)),
        line("— its streams alone", runnel("per-user", 4_000.0, 0.0)),
        line("Runnel, per-edge queues", runnel("per-edge", 14_000.0, MESSAGES)),
        line("— its streams alone", runnel("per-edge", 14_000.0, 0.0)),
        line("API Gateway WebSocket", |users| {
            minutes(users) * price("WebSocket minutes")
                + tiered(passed(users), "WebSocket messages to 1 G", "WebSocket messages above")
        }),
        line("AppSync Events", |users| {
            minutes(users) * price("AppSync minutes") + passed(users) * price("AppSync operations")
        }),
        line("IoT Core", |users| {
            minutes(users) * price("IoT minutes")
                + tiered(passed(users), "IoT messages to 1 G", "IoT messages above")
        }),
    ]
}

/// What the months above leave out.
fn besides(prices: &BTreeMap<&str, f64>) -> Vec<String> {
    let price = |name: &str| prices[name];
    // The first ten million requests and the first terabyte of a month are free.
    let front = |requests: f64| (requests / 1e6 - 10.0).max(0.0) * price("CloudFront requests");
    let mut rows = vec![
        line("CloudFront, requests", |users| front(users * (OPENED + MESSAGES))),
        line("CloudFront, data", |users| {
            (users * FRAME_GB.mul_add(MESSAGES, PINGS_GB) - 1_000.0).max(0.0) * price("CloudFront GB")
        }),
        line("logs", |users| users * MESSAGES * LOG_GB * price("log GB")),
        line("messages, for each month that they are kept", |users| {
            users * MESSAGES * KEPT_GB * (price("DynamoDB GB months") + price("backup GB months"))
        }),
    ];
    for (name, requests, [reads, writes, queues]) in BESIDES {
        rows.push(line(name, |users| {
            let (seconds, gigabytes) = FUNCTION;
            let each = reads.mul_add(price("DynamoDB reads"), writes * price("DynamoDB writes"))
                + queues * price("SQS requests to 100 G")
                + price("HTTP API requests")
                + price("Lambda requests")
                + seconds * gigabytes * price("Lambda GB seconds")
                + price("CloudFront requests");
            users * requests / 1e6 * each
        }));
    }
    rows
}

fn line(name: &str, dollars: impl Fn(f64) -> f64) -> String {
    let mut line = format!("| {name} |");
    for users in USERS {
        write!(line, " {} |", whole(dollars(users))).expect("a string takes it");
    }
    line
}

/// Dollars without cents, in groups of three digits.
fn whole(dollars: f64) -> String {
    let mut text = format!("{dollars:.0}");
    let mut at = text.len();
    while at > 3 {
        at -= 3;
        text.insert(at, ',');
    }
    text
}

/// A fleet of one topology.
struct Fleet<'a> {
    told: &'a BTreeMap<&'a str, Bill>,
    prices: &'a BTreeMap<&'a str, f64>,
    topology: &'a str,
    per_edge: f64,
}

impl Fleet<'_> {
    /// A month of as many users, connected all the time.
    fn month(&self, users: f64, messages: f64) -> f64 {
        let price = |name: &str| self.prices[name];
        let edges = (users / self.per_edge).ceil().max(2.0);
        let said = users * messages;
        let of = |what: &str| self.told[format!("{what}, {}", self.topology).as_str()];
        let causes = [
            (self.told["the deployment, for an hour"], MONTH),
            (of("an edge, for an hour"), edges * MONTH),
            (of("a stream, for an hour"), users * MONTH),
            (of("a message between two streams"), said),
        ];
        let sum = |count: fn(&Bill) -> f64| causes.iter().map(|(bill, n)| count(bill) * n).sum::<f64>() / 1e6;
        let requests = sum(|bill| bill.queues);
        let queues = [
            (1e5, "SQS requests to 100 G"),
            (1e5, "SQS requests to 200 G"),
            (f64::MAX, "SQS requests above"),
        ];
        let (queues, _) = queues.iter().fold((0.0, requests), |(dollars, left), (width, name)| {
            (dollars + left.min(*width) * price(name), (left - width).max(0.0))
        });
        let rows = sum(|bill| bill.reads) * price("DynamoDB reads")
            + sum(|bill| bill.writes) * price("DynamoDB writes");
        let (seconds, gigabytes) = FUNCTION;
        let calls = price("HTTP API requests") + price("Lambda requests");
        let functions = said / 1e6 * (calls + seconds * gigabytes * price("Lambda GB seconds"));
        let task = price("Fargate vCPU hours") + 2.0 * price("Fargate GB hours") + price("IPv4 hours");
        // Of what a balancer of bytes is billed for, the bytes are the most: pings, and both ways of a message.
        let gigabytes = users * (2.0 * FRAME_GB).mul_add(messages, PINGS_GB) / MONTH;
        let balancer = gigabytes.mul_add(price("NLB capacity hours"), price("NLB hours"));
        queues + rows + functions + MONTH * (edges * task + balancer)
    }
}

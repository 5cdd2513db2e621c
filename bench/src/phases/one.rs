//! One message to one stream: as many as go, and at a steady rate.

use super::{Cell, SECOND, Schedule};

/// Messages under way.
const WINDOW: u64 = 64;
/// Messages a second at the steady rate.
const RATE: u64 = 5_000;

/// Messages to random ones of so many streams, each of which has a topic of its own.
pub(crate) fn one(cell: &mut Cell<'_>, streams: usize) -> anyhow::Result<()> {
    let streams = cell.scaled(streams);
    if cell.load.crowd.topics.len() != streams {
        cell.gather(streams, 1);
        cell.open()?;
    }
    cell.settle();

    cell.load.crowd.rebase();
    cell.load.crowd.window = Some(WINDOW);
    cell.load.run(SECOND / 2);
    let (before, delivered) = (cell.usage(), cell.load.crowd.tally.delivered);
    let calls = cell.load.stub.as_ref().map(|stub| stub.calls.clone());
    cell.load.run(cell.length(5 * SECOND / 2));
    let (after, delivered) = (cell.usage(), cell.load.crowd.tally.delivered - delivered);
    cell.load.crowd.window = None;
    cell.put("one closed /s", delivered as f64 / after.seconds(before));
    cell.put("one closed cpu", after.server(before) * 1e6 / delivered as f64);
    cell.put("one closed generator", after.own_share(before));
    if let (Some(calls), Some(stub)) = (calls, &cell.load.stub) {
        let name = "AmazonSQS.ReceiveMessage";
        let receives = stub.calls[name] - calls.get(name).copied().unwrap_or(0);
        cell.put("envelopes a receive", delivered as f64 / receives as f64);
    }
    let arrived = cell.load.drain();
    let lost = if arrived { 0 } else { cell.load.crowd.lost() };
    cell.put("lost", lost as f64);

    cell.load.crowd.rebase();
    // A server that was full is given a moment: the kernel makes up for what it kept from others.
    cell.load.run(SECOND);
    let seconds = cell.length(3 * SECOND) / SECOND + 1;
    // The first second is not counted.
    cell.load.crowd.schedule = Some(Schedule::new(RATE, RATE * seconds));
    cell.load.run(SECOND / 2);
    cell.load.crowd.tally.latency.reset();
    cell.load.run(SECOND * seconds - SECOND / 2);
    let arrived = cell.load.drain();
    cell.load.crowd.schedule = None;
    let lost = if arrived { 0 } else { cell.load.crowd.lost() };
    cell.put("lost", lost as f64);
    for (name, quantile) in [("one 5000 p50 ms", 0.5), ("one 5000 p99 ms", 0.99)] {
        let latency = cell.load.crowd.tally.latency_ms(quantile);
        cell.put(name, latency);
    }
    Ok(())
}

//! One message to many streams: one at a time, and four outstanding.

use super::{Cell, SECOND, Usage, now};

/// The longest that the last messages may take.
const PATIENCE: u64 = 8 * SECOND;

/// Says one thing after the other to so many streams.
pub(crate) fn many(cell: &mut Cell<'_>, streams: usize, length: u64) -> anyhow::Result<()> {
    cell.gather(cell.scaled(streams), cell.scaled(streams));
    cell.open()?;
    cell.settle();
    for window in [1, 4] {
        let (before, after, delivered) = steady(cell, window, cell.length(length))?;
        let name = format!("many {streams} w{window}");
        cell.put(&format!("{name} /s"), delivered as f64 / after.seconds(before));
        cell.put(&format!("{name} cpu"), after.server(before) * 1e6 / delivered as f64);
        cell.put(&format!("{name} generator"), after.own_share(before));
    }
    let lost = cell.load.crowd.lost();
    cell.put("lost", lost as f64);
    Ok(())
}

/// Keeps `window` messages of topic 0 under way.
pub(super) fn steady(cell: &mut Cell<'_>, window: u32, length: u64) -> anyhow::Result<(Usage, Usage, u64)> {
    cell.load.crowd.count_arrivals();
    let fan = cell.load.crowd.fan() as u32;
    let delivered = cell.load.crowd.tally.delivered;
    let before = cell.usage();
    let end = now() + length;
    let mut done = cell.load.crowd.topics[0].sent;
    loop {
        let open = now() < end;
        while open && cell.load.crowd.topics[0].sent - done < window {
            cell.load.publish(0, now());
        }
        cell.load.turn(SECOND / 1_000);
        let topic = &cell.load.crowd.topics[0];
        while done < topic.sent && topic.arrived[done as usize + 1] >= fan {
            done += 1;
        }
        if !open && done == topic.sent {
            break;
        }
        if now() > end + PATIENCE {
            anyhow::bail!("{}: a message to {fan} streams did not arrive everywhere", cell.name);
        }
    }
    let after = cell.usage();
    Ok((before, after, cell.load.crowd.tally.delivered - delivered))
}

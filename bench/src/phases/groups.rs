//! Messages to random ones of many threads of the same size.

use super::{Cell, SECOND};

/// Deliveries under way: those of one message to a thread of the largest size, and some.
const UNDER_WAY: u64 = 2_000;

/// Threads of so many members each.
pub(crate) fn groups(cell: &mut Cell<'_>, streams: usize, members: usize, length: u64) -> anyhow::Result<()> {
    let streams = cell.scaled(streams);
    let size = members.min(streams);
    cell.gather(streams / size * size, size);
    cell.open()?;
    cell.settle();
    cell.load.crowd.rebase();
    cell.load.crowd.window = Some(UNDER_WAY);
    cell.load.run(SECOND / 2);
    let (before, delivered) = (cell.usage(), cell.load.crowd.tally.delivered);
    cell.load.run(cell.length(length));
    let (after, delivered) = (cell.usage(), cell.load.crowd.tally.delivered - delivered);
    cell.load.crowd.window = None;
    let arrived = cell.load.drain();
    let lost = if arrived { 0 } else { cell.load.crowd.lost() };
    cell.put("lost", lost as f64);
    cell.put(&format!("members {members} /s"), delivered as f64 / after.seconds(before));
    cell.put(&format!("members {members} cpu"), after.server(before) * 1e6 / delivered as f64);
    Ok(())
}

//! All streams are cut at once and come back with their `Last-Event-ID`, while messages go on.

use super::{Cell, Dialect, SECOND, Schedule, now};

/// Messages a second meanwhile.
const RATE: u64 = 1_000;

/// Cuts so many streams.
pub(crate) fn storm(cell: &mut Cell<'_>, streams: usize) -> anyhow::Result<()> {
    let streams = cell.scaled(streams);
    cell.gather(streams, 1);
    // Sessions of MQTT are kept; everybody else keeps a history.
    cell.load.crowd.clean = cell.server.target.dialect != Dialect::Mqtt;
    cell.open()?;
    cell.settle();
    cell.load.crowd.rebase();
    cell.load.crowd.schedule = Some(Schedule::new(RATE, u64::MAX));
    cell.load.run(SECOND);
    let before = cell.usage();
    cell.load.crowd.kill_all();
    cell.load.run(SECOND / 2);
    cell.load.crowd.tally.replayed = 0;
    cell.load.crowd.tally.caught_up = 0;
    let begin = now();
    let seconds = cell.open()?;
    let after = cell.usage();
    cell.load.run(SECOND);
    cell.load.crowd.schedule = None;
    let arrived = cell.load.drain();
    let lost = if arrived { 0 } else { cell.load.crowd.lost() };
    let tally = &cell.load.crowd.tally;
    let (caught_up, replayed) = (tally.caught_up.saturating_sub(begin) as f64 / 1e6, tally.replayed);
    cell.put("storm ms", caught_up.max(seconds * 1e3));
    cell.put("storm cpu s", after.server(before));
    cell.put("storm replayed", replayed as f64);
    cell.put("storm lost", lost as f64);
    Ok(())
}

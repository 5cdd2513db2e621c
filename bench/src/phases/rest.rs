//! Streams to which nothing happens.

use super::{Cell, SECOND};
use crate::server::PING_SECONDS;

/// Opens so many streams and lets them be.
pub(crate) fn rest(cell: &mut Cell<'_>, streams: usize) -> anyhow::Result<()> {
    let (streams, warm) = (cell.scaled(streams), cell.scaled(streams) / 20);
    cell.gather(warm, 1);
    cell.open()?;
    // What their leases and first comparisons cost has passed.
    cell.load.run(cell.length(3 * SECOND));
    let before = cell.usage();
    cell.load.crowd.add(streams - warm, 1);
    cell.introduce();
    let seconds = cell.open()?;
    cell.put("opened /s", (streams - warm) as f64 / seconds);
    cell.load.run(cell.length(4 * SECOND));
    let quiet = cell.usage();
    let kib = (quiet.rss_kib as f64 - before.rss_kib as f64) / (streams - warm) as f64;
    cell.put("rest KiB", kib);
    // As long as it takes each stream to be pinged once.
    cell.load.run(cell.length(PING_SECONDS * SECOND));
    let after = cell.usage();
    cell.put("rest cpu %", after.server(quiet) / after.seconds(quiet) * 100.0);
    Ok(())
}

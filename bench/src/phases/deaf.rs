//! Streams that never read, among as many that do.

use super::{Cell, SECOND, many::steady};

/// Half of so many streams never reads.
pub(crate) fn deaf(cell: &mut Cell<'_>, each: usize) -> anyhow::Result<()> {
    let each = cell.scaled(each);
    cell.gather(each, each);
    cell.open()?;
    cell.settle();
    let alone = rate(cell)?;
    cell.load.crowd.add_deaf(each);
    cell.introduce();
    cell.open()?;
    cell.load.run(cell.length(2 * SECOND));
    let before = cell.usage();
    let (mut kernel, mut last) = (0.0_f64, 0.0);
    // Until they have nothing left to fill, and beyond.
    for _ in 0..5 {
        last = rate(cell)?;
        let now = cell.usage();
        kernel = kernel.max((now.tcp_kib as f64 - before.tcp_kib as f64) / 1024.0);
    }
    // What receives and answers took for a moment is no stream's.
    cell.load.run(cell.length(2 * SECOND));
    let process = (cell.usage().rss_kib as f64 - before.rss_kib as f64).max(0.0) / 1024.0;
    cell.put("deaf kernel MiB", kernel);
    cell.put("deaf process MiB", process);
    cell.put("deaf others", last / alone);
    cell.put("lost", cell.load.crowd.lost() as f64);
    Ok(())
}

fn rate(cell: &mut Cell<'_>) -> anyhow::Result<f64> {
    let (before, after, delivered) = steady(cell, 4, cell.length(SECOND))?;
    Ok(delivered as f64 / after.seconds(before))
}

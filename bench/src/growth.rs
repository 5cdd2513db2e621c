//! How Runnel grows: with streams, with the members of a thread, with edges and with threads of the edge.

use crate::{
    clock::SECOND,
    figures::Figures,
    load::Load,
    phases::{Cell, groups, many},
    server::{SERVER_CPU, Server},
};

/// Times that this is run: it is a slope that counts, not a digit.
pub(crate) const REPETITIONS: u32 = 3;
/// Streams of one edge.
pub(crate) const STREAMS: [usize; 4] = [1_000, 5_000, 10_000, 18_000];
/// Members of a thread.
pub(crate) const MEMBERS: [usize; 4] = [2, 10, 100, 1_000];
/// Edges.
pub(crate) const EDGES: [usize; 3] = [1, 2, 3];
/// Streams that are shared by the threads, and by the edges.
pub(crate) const SHARED: usize = 6_000;

/// Runs it.
pub(crate) fn run(quick: bool, repetition: u32, figures: &mut Figures) -> anyhow::Result<()> {
    on(1, SERVER_CPU, "growth", (quick, repetition), figures, |cell| {
        STREAMS.iter().try_for_each(|streams| many(cell, *streams, SECOND))
    })?;
    on(1, SERVER_CPU, "members", (quick, repetition), figures, |cell| {
        MEMBERS.iter().try_for_each(|members| groups(cell, SHARED, *members, SECOND))
    })?;
    for edges in EDGES {
        let name = format!("{edges} edges");
        on(edges, SERVER_CPU, &name, (quick, repetition), figures, |cell| many(cell, SHARED, SECOND))?;
    }
    // The generator shares the second one: what this shows is that nothing is lost and nothing stalls.
    on(1, "0,1", "2 threads", (quick, repetition), figures, |cell| many(cell, SHARED, SECOND))
}

fn on(
    edges: usize,
    cpus: &str,
    name: &str,
    (quick, repetition): (bool, u32),
    figures: &mut Figures,
    what: impl FnOnce(&mut Cell<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut load = Load::new();
    let server = Server::edges(edges, cpus, &mut load)?;
    let mut cell = Cell { load: &mut load, server: &server, name, repetition, figures, phase: 0, quick };
    what(&mut cell)?;
    cell.dismiss();
    Ok(())
}

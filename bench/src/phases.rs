//! What is asked of a server, one phase after the other.

use crate::{
    clock::{SECOND, now},
    crowd::{Crowd, Schedule},
    figures::Figures,
    load::Load,
    proc::Usage,
    server::{LINGER_SECONDS, Server},
    target::Dialect,
};

mod deaf;
mod groups;
mod many;
mod one;
mod rest;
mod storm;
pub(crate) use deaf::deaf;
pub(crate) use groups::groups;
pub(crate) use many::many;
pub(crate) use one::one;
pub(crate) use rest::rest;
pub(crate) use storm::storm;

/// Streams that may be opening at once.
const OPENING: usize = 256;

/// The part of one processor below which a server is at rest.
const REST: f64 = 0.1;

/// A server in one repetition, and where its figures go.
#[derive(Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) load: &'a mut Load,
    pub(crate) server: &'a Server,
    pub(crate) name: &'a str,
    pub(crate) repetition: u32,
    pub(crate) figures: &'a mut Figures,
    /// Numbers phases, so that their topics differ.
    pub(crate) phase: u32,
    /// A check that everything runs: short, with few streams.
    pub(crate) quick: bool,
}

impl Cell<'_> {
    fn put(&mut self, name: &str, value: f64) {
        self.figures.add(self.name, self.repetition, name, value);
    }

    fn usage(&self) -> Usage {
        Usage::of(&self.server.pids())
    }

    /// So many streams, or a tenth of them.
    fn scaled(&self, count: usize) -> usize {
        if self.quick { count / 10 } else { count }
    }

    /// So many nanoseconds, or a quarter.
    fn length(&self, length: u64) -> u64 {
        if self.quick { length / 4 } else { length }
    }

    /// Begins anew with other streams, of which none is open.
    fn gather(&mut self, count: usize, of_topic: usize) {
        self.dismiss();
        self.phase += 1;
        let name = format!("r{}p{}", self.repetition, self.phase);
        self.load.crowd = Crowd::new(&self.server.target, &name, (count, of_topic));
        self.introduce();
    }

    fn introduce(&mut self) {
        let Load { poll, stub, crowd, .. } = &mut *self.load;
        crowd.introduce(poll, stub.as_mut());
    }

    /// Closes all streams, and counts what went wrong.
    pub(crate) fn dismiss(&mut self) {
        let crowd = std::mem::replace(&mut self.load.crowd, Crowd::nobody());
        let had = !crowd.streams.is_empty();
        self.put("wrong", crowd.tally.wrong() as f64);
        self.put("refused", (crowd.tally.refused + crowd.tally.rejected) as f64);
        let mut crowd = crowd;
        crowd.kill_all();
        drop(crowd);
        if had {
            // The server gets rid of them before it is asked for others.
            let lingers = self.server.target.dialect == Dialect::Runnel;
            self.load.run(if lingers { (LINGER_SECONDS + 1) * SECOND } else { SECOND / 2 });
            self.rest();
        }
    }

    /// Opens all streams; says how long it took.
    fn open(&mut self) -> anyhow::Result<f64> {
        let begin = now();
        if !self.load.open_all(OPENING, 60 * SECOND) {
            let crowd = &self.load.crowd;
            anyhow::bail!(
                "{}: only {} of {} streams opened within a minute, {} were refused",
                self.name,
                crowd.tally.open,
                crowd.streams.len(),
                crowd.tally.refused
            );
        }
        Ok((now() - begin) as f64 / 1e9)
    }

    /// Has one message reach every stream, and waits until the server has nothing left to do for those
    /// who have come: an edge takes a lease for each user, which is no part of what follows.
    fn settle(&mut self) {
        self.load.prime();
        self.rest();
    }

    /// Waits until the server is at rest.
    fn rest(&mut self) {
        let end = now() + 20 * SECOND;
        while now() < end {
            let before = self.usage();
            self.load.run(SECOND / 4);
            let after = self.usage();
            if after.server(before) < REST * after.seconds(before) {
                break;
            }
        }
    }
}

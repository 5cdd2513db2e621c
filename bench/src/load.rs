//! One thread that is all subscribers, all publishers and, for Runnel, its AWS.

use crate::{
    clock::{MILLI, SECOND, now},
    crowd::Crowd,
    poll::{Poll, Ready},
    stub::Stub,
};

/// What a watched socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stream,
    Publisher,
    StubListener,
    StubConn,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Stream, Self::Publisher, Self::StubListener, Self::StubConn];

    /// Under which number it is watched.
    pub(crate) fn token(self, number: u64) -> u64 {
        (self as u64) << 48 | number
    }

    fn of(token: u64) -> (Self, u64) {
        (Self::ALL[(token >> 48) as usize], token & ((1 << 48) - 1))
    }
}

/// Events after which the clock is looked at again.
const TURN: usize = 32;

/// The load generator.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) poll: Poll,
    ready: Vec<Ready>,
    pub(crate) stub: Option<Stub>,
    pub(crate) crowd: Crowd,
    ticked: u64,
}

impl Load {
    pub(crate) fn new() -> Self {
        Self { poll: Poll::new(), ready: Vec::new(), stub: None, crowd: Crowd::nobody(), ticked: 0 }
    }

    /// Goes on for so many nanoseconds.
    pub(crate) fn run(&mut self, length: u64) {
        let end = now() + length;
        self.until(end, |_| false);
    }

    /// Goes on until `end`, or until something is true; whether it is.
    pub(crate) fn until(&mut self, end: u64, done: impl Fn(&Crowd) -> bool) -> bool {
        loop {
            if done(&self.crowd) {
                return true;
            }
            let left = end.saturating_sub(now());
            if left == 0 {
                return false;
            }
            self.turn(left.min(50 * MILLI));
        }
    }

    /// Waits up to `most` nanoseconds for something to do, and does it.
    pub(crate) fn turn(&mut self, most: u64) {
        let Self { poll, stub, crowd, .. } = self;
        crowd.tick(poll, stub.as_mut());
        let most = crowd.next_due().map_or(most, |due| most.min(due.saturating_sub(now())));
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(&mut ready, most);
        let Self { poll, stub, crowd, .. } = self;
        for (n, ready) in ready.iter().enumerate() {
            match (Kind::of(ready.token), stub.as_mut()) {
                ((Kind::Stream, number), _) => crowd.stream(poll, *ready, number as usize),
                ((Kind::Publisher, number), _) => crowd.publisher(number as usize),
                ((Kind::StubListener, _), Some(stub)) => stub.accept(poll),
                ((Kind::StubConn, number), Some(stub)) => stub.ready(poll, *ready, number),
                (_, None) => {}
            }
            if n % TURN == TURN - 1 {
                crowd.tick(poll, stub.as_mut());
            }
        }
        self.ready = ready;
        let now = now();
        if let Some(stub) = &mut self.stub
            && now > self.ticked + SECOND / 10
        {
            self.ticked = now;
            stub.tick(&self.poll, now);
        }
    }

    /// Opens all streams that are not open, `most` at a time; false if that takes too long.
    pub(crate) fn open_all(&mut self, most: usize, within: u64) -> bool {
        let end = now() + within;
        let mut next = 0;
        while !self.crowd.all_open() {
            next = self.crowd.open_some(&self.poll, next, most);
            self.turn(2 * MILLI);
            if now() > end {
                return false;
            }
        }
        true
    }

    /// Says something to a topic.
    pub(crate) fn publish(&mut self, topic: u32, due: u64) {
        let Self { poll, stub, crowd, .. } = self;
        crowd.publish(poll, stub.as_mut(), topic, due);
    }

    /// Says something to every topic and waits for it to arrive, so that every stream is known to be live.
    pub(crate) fn prime(&mut self) {
        for _ in 0..3 {
            for topic in 0..self.crowd.topics.len() as u32 {
                self.publish(topic, now());
                let patience = now() + SECOND / 2;
                self.until(patience, |crowd| crowd.missing() < 64 * crowd.fan());
            }
            if self.drain() {
                return;
            }
            self.crowd.rebase();
        }
    }

    /// Waits until everything has arrived, as long as something does.
    pub(crate) fn drain(&mut self) -> bool {
        loop {
            let before = self.crowd.tally.delivered;
            if self.until(now() + 2 * SECOND, |crowd| crowd.pending() == 0 && crowd.lost() == 0) {
                return true;
            }
            if self.crowd.tally.delivered == before {
                return false;
            }
        }
    }
}

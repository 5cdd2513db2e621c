//! epoll, with time limits in nanoseconds: a millisecond is an age to one who measures microseconds.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
};

/// Events taken at once.
const EVENTS: usize = 512;

/// Watches sockets.
#[derive(Debug)]
pub(crate) struct Poll(OwnedFd);

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// The number under which it is watched.
    pub(crate) token: u64,
    /// It can be read, or is over.
    pub(crate) read: bool,
    /// It can be written.
    pub(crate) write: bool,
}

impl Poll {
    pub(crate) fn new() -> Self {
        Self(epoll::create(CreateFlags::CLOEXEC).expect("an epoll"))
    }

    /// Watches a socket for reading, and for writing too if asked.
    pub(crate) fn watch(&self, fd: impl AsFd, token: u64, write: bool) {
        epoll::add(&self.0, fd, EventData::new_u64(token), flags(write)).expect("a socket to watch");
    }

    /// Watches a socket for something else.
    pub(crate) fn rewatch(&self, fd: impl AsFd, token: u64, write: bool) {
        epoll::modify(&self.0, fd, EventData::new_u64(token), flags(write)).expect("a watched socket");
    }

    /// Watches a socket no more.
    pub(crate) fn forget(&self, fd: impl AsFd) {
        epoll::delete(&self.0, fd).expect("a watched socket");
    }

    /// Waits up to `most` nanoseconds, and fills `ready`.
    pub(crate) fn wait(&self, ready: &mut Vec<Ready>, most: u64) {
        ready.clear();
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let most = Timespec { tv_sec: (most / 1_000_000_000) as i64, tv_nsec: (most % 1_000_000_000) as i64 };
        // A signal in between is as good as nothing ready.
        let _ = epoll::wait(&self.0, spare_capacity(&mut events), Some(&most));
        ready.extend(events.iter().map(|event| {
            let Event { flags, data, .. } = *event;
            let over = EventFlags::HUP | EventFlags::ERR;
            Ready {
                token: data.u64(),
                read: flags.intersects(EventFlags::IN | over),
                write: flags.contains(EventFlags::OUT),
            }
        }));
    }
}

fn flags(write: bool) -> EventFlags {
    if write { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

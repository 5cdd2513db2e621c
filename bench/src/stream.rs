//! One subscriber: connects, asks, reads.

use std::{
    io::{ErrorKind, Read as _},
    net::TcpStream,
};

use crate::{
    clock::now,
    mqtt::{self, Packet},
    seen::{Seen, Verdict},
    socket,
    sse::{Heard, Over, Reader},
    stamp::Stamp,
    tally::Tally,
    target::Dialect,
};

/// A subscriber.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) socket: Option<TcpStream>,
    pub(crate) stage: Stage,
    pub(crate) topic: u32,
    /// Never reads.
    pub(crate) deaf: bool,
    reader: Reader,
    packets: Vec<u8>,
    /// The last event's id.
    pub(crate) last: Vec<u8>,
    pub(crate) seen: Seen,
    opened_at: u64,
}

/// How far it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    #[default]
    Closed,
    Connecting,
    Asked,
    Open,
}

/// It is over.
pub(crate) struct Ended;

impl Stream {
    /// One that is not open.
    pub(crate) fn of(topic: u32) -> Self {
        Self { topic, ..Self::default() }
    }

    pub(crate) fn connecting(&mut self, socket: TcpStream) {
        self.socket = Some(socket);
        self.stage = Stage::Connecting;
        self.reader = Reader::default();
        self.packets.clear();
    }

    /// Closes it as a lost network does.
    pub(crate) fn kill(&mut self) {
        if let Some(socket) = self.socket.take() {
            socket::reset(socket);
        }
        self.stage = Stage::Closed;
    }

    /// Reads what has arrived; `arrived` counts each message of a topic.
    pub(crate) fn read(
        &mut self,
        room: &mut [u8],
        (dialect, topic): (Dialect, &str),
        tally: &mut Tally,
        arrived: &mut [u32],
    ) -> Result<(), Ended> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let count = match socket.read(room) {
            Ok(0) => return Err(Ended),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(_) => return Err(Ended),
        };
        let was_open = self.stage == Stage::Open;
        let bytes = &room[..count];
        let result = match dialect {
            Dialect::Mqtt => self.packets(bytes, topic, tally, arrived),
            _ => self.events(bytes, tally, arrived),
        };
        if !was_open && self.stage == Stage::Open {
            tally.opening -= 1;
            tally.open += 1;
        }
        result
    }

    fn events(&mut self, bytes: &[u8], tally: &mut Tally, arrived: &mut [u32]) -> Result<(), Ended> {
        let Self { reader, last, seen, topic, stage, opened_at, .. } = self;
        let read = reader.read(bytes, &mut |heard| match heard {
            Heard::Opened => (*stage, *opened_at) = (Stage::Open, now()),
            Heard::Nothing => tally.pings += 1,
            Heard::Event(data, id) => {
                if let Some(id) = id {
                    last.clear();
                    last.extend_from_slice(id);
                }
                take(data, *topic, *opened_at, seen, tally, arrived);
            }
        });
        read.map_err(|over| {
            match over {
                Over::End => {}
                Over::Status(_) => tally.refused += 1,
                Over::Broken => tally.broken += 1,
            }
            Ended
        })
    }

    fn packets(
        &mut self,
        bytes: &[u8],
        topic: &str,
        tally: &mut Tally,
        arrived: &mut [u32],
    ) -> Result<(), Ended> {
        self.packets.extend_from_slice(bytes);
        let (mut used, mut answer) = (0, Vec::new());
        while let Some((packet, size)) = mqtt::next(&self.packets[used..]) {
            match packet {
                Packet::Connected => answer.extend_from_slice(&mqtt::subscribe(topic)),
                Packet::Subscribed => (self.stage, self.opened_at) = (Stage::Open, now()),
                Packet::Message(data, number) => {
                    answer.extend_from_slice(&mqtt::acknowledge(number));
                    take(data, self.topic, self.opened_at, &mut self.seen, tally, arrived);
                }
                Packet::Acknowledged | Packet::Other => tally.pings += 1,
            }
            used += size;
        }
        self.packets.drain(..used);
        let socket = self.socket.as_ref().ok_or(Ended)?;
        if answer.is_empty() || socket::send(socket, &answer) { Ok(()) } else { Err(Ended) }
    }
}

fn take(data: &[u8], topic: u32, opened_at: u64, seen: &mut Seen, tally: &mut Tally, arrived: &mut [u32]) {
    // Hello and pings have data too.
    let Some(stamp) = Stamp::find(data) else { return tally.pings += 1 };
    if stamp.topic != topic {
        return tally.foreign += 1;
    }
    match seen.see(stamp.seq) {
        Verdict::New => {}
        Verdict::Reordered => tally.reordered += 1,
        Verdict::Doubled => return tally.doubled += 1,
    }
    let now = now();
    tally.delivered += 1;
    tally.last = now;
    tally.latency.saturating_record(now.saturating_sub(stamp.due) / 1_000);
    if stamp.due < opened_at {
        tally.caught_up = now;
        tally.replayed += 1;
    }
    if let Some(count) = arrived.get_mut(stamp.seq as usize) {
        *count += 1;
    }
}

//! Who listens to what, and what is said to them.

use std::time::Duration;

use domain::ids::UserId;
use server::auth::{AuthConfig, mint::Minter};

use crate::{
    clock::now,
    load::Kind,
    mqtt,
    poll::{Poll, Ready},
    publisher::{Publisher, Said},
    socket,
    stamp::Stamp,
    stream::{Ended, Stage, Stream},
    stub::Stub,
    tally::Tally,
    target::{Dialect, Target},
};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "a secret of more than 32 characters";
/// Connections that publish.
const PUBLISHERS: usize = 64;

/// Streams, topics and publishers of one phase.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) target: Target,
    /// Tells the topics of this phase from those of others on the same server.
    name: String,
    pub(crate) streams: Vec<Stream>,
    tokens: Vec<String>,
    pub(crate) topics: Vec<Topic>,
    publishers: Vec<Publisher>,
    pub(crate) tally: Tally,
    /// Messages at given times.
    pub(crate) schedule: Option<Schedule>,
    /// Messages that are under way at any time, to random topics.
    pub(crate) window: Option<u64>,
    published: u64,
    /// Streams that never read.
    deaf: usize,
    /// Whether sessions of MQTT end with their connection.
    pub(crate) clean: bool,
    random: u64,
    room: Vec<u8>,
}

/// What some listen to.
#[derive(Debug, Default)]
pub(crate) struct Topic {
    pub(crate) sent: u32,
    /// As the server has it.
    accepted: u32,
    /// The users of the stub who listen.
    users: Vec<usize>,
    /// How many have each message, by its number; empty where nobody asks.
    pub(crate) arrived: Vec<u32>,
}

/// Messages at a steady rate to random topics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    begin: u64,
    interval: f64,
    done: u64,
    total: u64,
}

impl Schedule {
    /// `rate` messages a second, `total` in all.
    pub(crate) fn new(rate: u64, total: u64) -> Self {
        Self { begin: now(), interval: 1e9 / rate as f64, done: 0, total }
    }

    fn next(&self) -> Option<u64> {
        (self.done < self.total).then(|| self.begin + (self.done as f64 * self.interval) as u64)
    }
}

impl Crowd {
    pub(crate) fn nobody() -> Self {
        let target = Target { dialect: Dialect::Query, addresses: Vec::new() };
        Self {
            target,
            name: String::new(),
            streams: Vec::new(),
            tokens: Vec::new(),
            topics: Vec::new(),
            publishers: Vec::new(),
            tally: Tally::new(),
            schedule: None,
            window: None,
            published: 0,
            deaf: 0,
            clean: true,
            random: 0x9e37_79b9_7f4a_7c15,
            room: vec![0; 64 * 1024],
        }
    }

    /// `count` streams, so many of each topic; nothing is open yet.
    pub(crate) fn new(target: &Target, name: &str, (count, of_topic): (usize, usize)) -> Self {
        let mut crowd = Self { target: target.clone(), name: name.to_owned(), ..Self::nobody() };
        crowd.add(count, of_topic);
        crowd
    }

    /// Adds streams to topics behind those that are there.
    pub(crate) fn add(&mut self, count: usize, of_topic: usize) {
        for _ in 0..count {
            let topic = (self.streams.len() / of_topic) as u32;
            self.streams.push(Stream::of(topic));
        }
        self.topics.resize_with(self.streams.len().div_ceil(of_topic), Topic::default);
        if self.target.dialect == Dialect::Runnel {
            let auth = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
            let minter = Minter::new(&auth).expect("the secret is long enough");
            let (day, at) = (Duration::from_hours(24), jiff::Timestamp::now());
            for n in self.tokens.len()..self.streams.len() {
                let user = UserId::parse(&self.user(n)).expect("a name");
                self.tokens.push(minter.mint(&user, day, at));
            }
        }
    }

    /// Has everybody known to the stub, and everything else connected.
    pub(crate) fn introduce(&mut self, poll: &Poll, stub: Option<&mut Stub>) {
        if let Some(stub) = stub {
            let names: Vec<String> = (0..self.streams.len()).map(|n| self.user(n)).collect();
            let users = stub.truth.users(names.into_iter());
            self.topics.iter_mut().for_each(|topic| topic.users.clear());
            for (stream, user) in self.streams.iter().zip(users) {
                self.topics[stream.topic as usize].users.push(user);
            }
        } else if self.publishers.is_empty() {
            for n in 0..PUBLISHERS.min(self.topics.len()) {
                let publisher = Publisher::connect(&self.target, &format!("p{}x{n}", self.name));
                let publisher = publisher.expect("the server takes publishers");
                poll.watch(&publisher.socket, Kind::Publisher.token(n as u64), false);
                self.publishers.push(publisher);
            }
        }
    }

    fn user(&self, n: usize) -> String {
        format!("{}u{n:05}", self.name)
    }

    /// A topic's name; for Runnel, its thread's.
    fn topic(name: &str, topic: u32) -> String {
        format!("t_{name}x{topic}")
    }

    // ---- streams ---------------------------------------------------------------------------

    pub(crate) fn all_open(&self) -> bool {
        self.tally.open == self.streams.len()
    }

    /// Begins to open streams from `next` on as long as fewer than `most` are opening; where to go on.
    pub(crate) fn open_some(&mut self, poll: &Poll, mut next: usize, most: usize) -> usize {
        while self.tally.opening < most && next < self.streams.len() {
            let stream = &mut self.streams[next];
            if stream.stage == Stage::Closed {
                let address = self.target.addresses[next % self.target.addresses.len()];
                match socket::connect(address, stream.deaf) {
                    Ok(socket) => {
                        poll.watch(&socket, Kind::Stream.token(next as u64), true);
                        stream.connecting(socket);
                        self.tally.opening += 1;
                    }
                    Err(_) => self.tally.refused += 1,
                }
            }
            next += 1;
        }
        // Those that failed are tried again.
        if next == self.streams.len() && self.tally.opening == 0 { 0 } else { next }
    }

    /// Closes every stream as a lost network does.
    pub(crate) fn kill_all(&mut self) {
        self.streams.iter_mut().for_each(Stream::kill);
        (self.tally.open, self.tally.opening) = (0, 0);
    }

    pub(crate) fn stream(&mut self, poll: &Poll, ready: Ready, number: usize) {
        let Some(stream) = self.streams.get_mut(number) else { return };
        let Some(socket) = &stream.socket else { return };
        if stream.stage == Stage::Connecting {
            if ready.write {
                let name = Self::topic(&self.name, stream.topic);
                let request = if self.target.dialect == Dialect::Mqtt {
                    mqtt::connect(&format!("s{}x{number}", self.name), self.clean)
                } else {
                    let token = self.tokens.get(number).map_or("", String::as_str);
                    self.target.subscribe(&name, token, &stream.last)
                };
                // A connection that is refused says so when it is read.
                socket::send(socket, &request);
                stream.stage = Stage::Asked;
                if stream.deaf {
                    poll.forget(socket);
                    stream.stage = Stage::Open;
                    self.tally.opening -= 1;
                    self.tally.open += 1;
                } else {
                    poll.rewatch(socket, ready.token, false);
                }
            }
            return;
        }
        // Only a session that is being made asks for its topic.
        let name = match stream.stage {
            Stage::Asked => Self::topic(&self.name, stream.topic),
            _ => String::new(),
        };
        let arrived = &mut self.topics[stream.topic as usize].arrived;
        let read = stream.read(&mut self.room, (self.target.dialect, &name), &mut self.tally, arrived);
        if let Err(Ended) = read {
            self.tally.ended += 1;
            match stream.stage {
                Stage::Open => self.tally.open -= 1,
                _ => self.tally.opening -= 1,
            }
            stream.kill();
        }
    }

    // ---- messages --------------------------------------------------------------------------

    pub(crate) fn publish(&mut self, poll: &Poll, stub: Option<&mut Stub>, number: u32, due: u64) {
        let topic = &mut self.topics[number as usize];
        topic.sent += 1;
        self.published += 1;
        let stamp = Stamp { topic: number, seq: topic.sent, due };
        if !topic.arrived.is_empty() {
            topic.arrived.push(0);
        }
        if let Some(stub) = stub {
            let thread = Self::topic(&self.name, number);
            let line = stamp.line(&thread);
            stub.publish(poll, (&thread, stamp.seq), &topic.users, &stamp.text(), &line);
            topic.accepted += 1;
        } else {
            let (name, count) = (&self.name, self.publishers.len());
            let publisher = &mut self.publishers[number as usize % count];
            publisher.say(&self.target, |topic| Self::topic(name, topic), stamp);
        }
    }

    pub(crate) fn publisher(&mut self, number: usize) {
        let name = &self.name;
        let Some(publisher) = self.publishers.get_mut(number) else { return };
        match publisher.read(&self.target, |topic| Self::topic(name, topic)) {
            Some(Said::Accepted(topic)) => self.topics[topic as usize].accepted += 1,
            Some(Said::Rejected) => self.tally.rejected += 1,
            None => {}
        }
    }

    /// Says what is due.
    pub(crate) fn tick(&mut self, poll: &Poll, mut stub: Option<&mut Stub>) {
        if let Some(mut schedule) = self.schedule.take() {
            while let Some(due) = schedule.next().filter(|due| *due <= now()) {
                schedule.done += 1;
                let topic = self.random() % self.topics.len() as u64;
                self.publish(poll, stub.as_deref_mut(), topic as u32, due);
            }
            self.schedule = Some(schedule);
        }
        if let Some(window) = self.window {
            while self.missing() < window {
                let topic = self.random() % self.topics.len() as u64;
                self.publish(poll, stub.as_deref_mut(), topic as u32, now());
            }
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.schedule.as_ref().and_then(Schedule::next)
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    // ---- the count -------------------------------------------------------------------------

    /// Streams of a topic that read.
    pub(crate) fn fan(&self) -> u64 {
        let hearing = self.streams.len() - self.deaf;
        (hearing / self.topics.len().max(1)) as u64
    }

    /// Adds streams of topic 0 that will never read.
    pub(crate) fn add_deaf(&mut self, count: usize) {
        let all = self.streams.len();
        self.add(count, all + count);
        self.streams[all..].iter_mut().for_each(|stream| stream.deaf = true);
        self.deaf = count;
    }

    /// Deliveries that were sent out and have not arrived.
    pub(crate) fn missing(&self) -> u64 {
        (self.published * self.fan()).saturating_sub(self.tally.delivered)
    }

    /// Messages that were not accepted yet.
    pub(crate) fn pending(&self) -> usize {
        self.publishers.iter().map(Publisher::pending).sum()
    }

    /// Deliveries of accepted messages that have not arrived.
    pub(crate) fn lost(&self) -> u64 {
        let hearing = self.streams.iter().filter(|stream| !stream.deaf);
        let missed = hearing
            .map(|stream| self.topics[stream.topic as usize].accepted.saturating_sub(stream.seen.count));
        missed.map(u64::from).sum()
    }

    /// Forgets what was lost.
    pub(crate) fn rebase(&mut self) {
        for stream in &mut self.streams {
            stream.seen.count = self.topics[stream.topic as usize].accepted;
        }
        self.published = 0;
        self.tally.delivered = 0;
    }

    /// Counts from here on who has which message of topic 0.
    pub(crate) fn count_arrivals(&mut self) {
        let topic = &mut self.topics[0];
        topic.arrived = vec![0; topic.sent as usize + 1];
    }
}

//! `raw`: the physical limit. One thread, epoll, one prebuilt frame, one `send` for each subscriber and
//! message, a short history. It does what any such server must do, and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
};

use memchr::memmem;

use crate::{
    clock::{SECOND, now},
    poll::{Poll, Ready},
    server::PING_SECONDS,
    socket,
    stamp::number,
};

/// Messages of a topic that are kept for those who come back.
const HISTORY: usize = 16;
/// Pings are spread over slices of this length, so that no burst of them keeps a message waiting.
const SLICE: u64 = SECOND / 10;
const PING: &[u8] = b"3\r\n:\n\n\r\n";
const OPENING: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:\n\n\r\n";
const DONE: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const LISTENER: u64 = u64::MAX;

struct Conn {
    socket: TcpStream,
    asked: Vec<u8>,
    /// What the socket did not take.
    rest: Vec<u8>,
    /// Its topic and its place there, once it is a subscriber.
    place: Option<(usize, usize)>,
}

#[derive(Default)]
struct Topic {
    subscribers: Vec<usize>,
    said: u64,
    history: VecDeque<(u64, Rc<[u8]>)>,
}

struct Raw {
    poll: Poll,
    listener: TcpListener,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    topics: Vec<Topic>,
    names: HashMap<Vec<u8>, usize>,
    pinged: usize,
}

/// Serves for ever.
pub(crate) fn serve(at: SocketAddr) -> anyhow::Result<()> {
    let (poll, listener) = (Poll::new(), socket::listen(at)?);
    poll.watch(&listener, LISTENER, false);
    let mut raw = Raw {
        poll,
        listener,
        conns: Vec::new(),
        free: Vec::new(),
        topics: Vec::new(),
        names: HashMap::new(),
        pinged: 0,
    };
    let (mut events, mut room, mut slice) = (Vec::new(), vec![0; 64 * 1024], now() + SLICE);
    loop {
        raw.poll.wait(&mut events, slice.saturating_sub(now()));
        if now() >= slice {
            slice += SLICE;
            raw.ping();
        }
        for ready in &events {
            if ready.token == LISTENER {
                raw.accept()?;
            } else {
                raw.ready(*ready, &mut room);
            }
        }
    }
}

impl Raw {
    fn accept(&mut self) -> anyhow::Result<()> {
        while let Ok((socket, _)) = self.listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            let number = self.free.pop().unwrap_or(self.conns.len());
            self.poll.watch(&socket, number as u64, false);
            let conn = Some(Conn { socket, asked: Vec::new(), rest: Vec::new(), place: None });
            if number == self.conns.len() {
                self.conns.push(conn);
            } else {
                self.conns[number] = conn;
            }
        }
        Ok(())
    }

    fn ping(&mut self) {
        for _ in 0..=self.conns.len() / (PING_SECONDS * SECOND / SLICE) as usize {
            self.pinged = (self.pinged + 1) % self.conns.len().max(1);
            if let Some(Some(Conn { place: Some(_), .. })) = self.conns.get(self.pinged) {
                self.send(self.pinged, PING);
            }
        }
    }

    fn ready(&mut self, ready: Ready, room: &mut [u8]) {
        let number = ready.token as usize;
        if ready.write {
            self.send(number, &[]);
        }
        let Some(Some(conn)) = self.conns.get_mut(number) else { return };
        if !ready.read {
            return;
        }
        match conn.socket.read(room) {
            Ok(0) => self.close(number),
            Ok(count) => {
                let mut asked = std::mem::take(&mut conn.asked);
                asked.extend_from_slice(&room[..count]);
                let used = self.serve(number, &asked);
                asked.drain(..used);
                if let (Some(Some(conn)), false) = (self.conns.get_mut(number), asked.is_empty()) {
                    conn.asked = asked;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(number),
        }
    }

    /// Answers all whole requests; how many bytes they were.
    fn serve(&mut self, number: usize, asked: &[u8]) -> usize {
        let mut used = 0;
        while let Some(end) = memmem::find(&asked[used..], b"\r\n\r\n") {
            let (head, rest) = (&asked[used..used + end + 2], &asked[used + end + 4..]);
            let topic = self.topic(field(head, b"topic=", b" "));
            let mut size = 0;
            if head.starts_with(b"POST") {
                size = digits(field(head, b"\r\nContent-Length: ", b"\r")) as usize;
                let Some(body) = rest.get(..size) else { break };
                self.publish(topic, body);
                self.send(number, DONE);
            } else {
                self.subscribe(number, topic, field(head, b"\r\nLast-Event-ID: ", b"\r"));
            }
            used += end + 4 + size;
        }
        used
    }

    fn topic(&mut self, name: &[u8]) -> usize {
        if let Some(topic) = self.names.get(name) {
            return *topic;
        }
        self.names.insert(name.to_vec(), self.topics.len());
        self.topics.push(Topic::default());
        self.topics.len() - 1
    }

    fn publish(&mut self, number: usize, body: &[u8]) {
        let topic = &mut self.topics[number];
        topic.said += 1;
        let text = format!("event: message\ndata: {}\nid: {}\n\n", String::from_utf8_lossy(body), topic.said);
        let frame: Rc<[u8]> = format!("{:x}\r\n{text}\r\n", text.len()).into_bytes().into();
        topic.history.push_back((topic.said, frame.clone()));
        if topic.history.len() > HISTORY {
            topic.history.pop_front();
        }
        for at in 0..topic.subscribers.len() {
            self.send(self.topics[number].subscribers[at], &frame);
        }
    }

    fn subscribe(&mut self, number: usize, topic: usize, last: &[u8]) {
        self.send(number, OPENING);
        let Some(Some(conn)) = self.conns.get_mut(number) else { return };
        conn.place = Some((topic, self.topics[topic].subscribers.len()));
        self.topics[topic].subscribers.push(number);
        if !last.is_empty() {
            let last = digits(last);
            let missed = self.topics[topic].history.iter().filter(|(id, _)| *id > last);
            let missed: Vec<Rc<[u8]>> = missed.map(|(_, frame)| frame.clone()).collect();
            for frame in &missed {
                self.send(number, frame);
            }
        }
    }

    /// Sends at once, or behind what the socket did not take before. A broken one is closed when it is read.
    fn send(&mut self, number: usize, bytes: &[u8]) {
        let Some(Some(conn)) = self.conns.get_mut(number) else { return };
        if conn.rest.is_empty() {
            let written = conn.socket.write(bytes).unwrap_or_default();
            if written < bytes.len() {
                conn.rest.extend_from_slice(&bytes[written..]);
                self.poll.rewatch(&conn.socket, number as u64, true);
            }
            return;
        }
        conn.rest.extend_from_slice(bytes);
        if !bytes.is_empty() {
            return;
        }
        let written = conn.socket.write(&conn.rest).unwrap_or_default();
        conn.rest.drain(..written);
        if conn.rest.is_empty() {
            conn.rest = Vec::new();
            self.poll.rewatch(&conn.socket, number as u64, false);
        }
    }

    fn close(&mut self, number: usize) {
        let Some(conn) = self.conns[number].take() else { return };
        self.free.push(number);
        let Some((topic, place)) = conn.place else { return };
        let subscribers = &mut self.topics[topic].subscribers;
        subscribers.swap_remove(place);
        if let Some(moved) = subscribers.get(place).copied()
            && let Some(Some(conn)) = self.conns.get_mut(moved)
        {
            conn.place = Some((topic, place));
        }
    }
}

/// What stands between a name and an end; nothing if it is not there.
fn field<'a>(head: &'a [u8], name: &[u8], end: &[u8]) -> &'a [u8] {
    let Some(begin) = memmem::find(head, name) else { return &[] };
    let value = &head[begin + name.len()..];
    &value[..memmem::find(value, end).unwrap_or(value.len())]
}

fn digits(text: &[u8]) -> u64 {
    number(text).unwrap_or(0)
}

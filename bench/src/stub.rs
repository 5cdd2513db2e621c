//! DynamoDB and SQS as far as an edge asks for them, from memory, on the load generator's own thread:
//! so that what is measured is the edge, and not an emulator.
//!
//! It is asked through the SDK's own protocol (`AWS JSON 1.0` over HTTP/1.1). What it leaves out is what
//! costs an edge nothing: conditions on rows that only this edge writes, and the visibility timeout of
//! an envelope that was received and never deleted.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::{
    load::Kind,
    poll::{Poll, Ready},
    socket,
};

mod dynamodb;
mod http;
mod sqs;
mod truth;

use sqs::Answer;
pub(crate) use truth::Truth;

/// The two services.
#[derive(Debug)]
pub(crate) struct Stub {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
    conns: HashMap<u64, Conn>,
    next: u64,
    pub(crate) truth: Truth,
    queues: sqs::Queues,
    room: Vec<u8>,
    /// Calls by their names.
    pub(crate) calls: HashMap<String, u64>,
}

#[derive(Debug)]
struct Conn {
    socket: TcpStream,
    asked: Vec<u8>,
    /// What the socket did not take.
    rest: Vec<u8>,
}

impl Stub {
    pub(crate) fn start(poll: &Poll) -> Self {
        let address = socket::free_port();
        let listener = socket::listen(address).expect("a port that was free");
        poll.watch(&listener, Kind::StubListener.token(0), false);
        Self {
            listener,
            address,
            conns: HashMap::new(),
            next: 0,
            truth: Truth::default(),
            queues: sqs::Queues::new(address),
            room: vec![0; 256 * 1024],
            calls: HashMap::new(),
        }
    }

    pub(crate) fn accept(&mut self, poll: &Poll) {
        while let Ok((socket, _)) = self.listener.accept() {
            // Neither fails on a socket that was just accepted.
            let _ = (socket.set_nonblocking(true), socket.set_nodelay(true));
            self.next += 1;
            poll.watch(&socket, Kind::StubConn.token(self.next), false);
            self.conns.insert(self.next, Conn { socket, asked: Vec::new(), rest: Vec::new() });
        }
    }

    pub(crate) fn ready(&mut self, poll: &Poll, ready: Ready, number: u64) {
        if ready.write {
            self.write(poll, number, &[]);
        }
        if !ready.read {
            return;
        }
        let Some(conn) = self.conns.get_mut(&number) else { return };
        match conn.socket.read(&mut self.room) {
            Ok(0) => self.close(number),
            Ok(count) => {
                conn.asked.extend_from_slice(&self.room[..count]);
                self.serve(poll, number);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(number),
        }
    }

    fn serve(&mut self, poll: &Poll, number: u64) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let mut asked = std::mem::take(&mut conn.asked);
        let mut used = 0;
        let mut answers = Vec::new();
        while let Some((request, size)) = http::request(&asked[used..]) {
            used += size;
            *self.calls.entry(request.target.to_owned()).or_default() += 1;
            let answer = match request.target.split_once('.') {
                Some(("AmazonSQS", call)) => self.queues.call(call, request.body, number),
                Some((_, call)) => Answer::Now(dynamodb::call(&mut self.truth, call, request.body)),
                None => Answer::Now(String::from("{}")),
            };
            if let Answer::Now(body) = answer {
                http::answer(&mut answers, &body);
            }
        }
        asked.drain(..used);
        if let Some(conn) = self.conns.get_mut(&number) {
            conn.asked = asked;
        }
        self.write(poll, number, &answers);
    }

    /// Puts a message into the threads and inboxes of `users`, and a word into the queues of those who
    /// hold them.
    pub(crate) fn publish(
        &mut self,
        poll: &Poll,
        (thread, tseq): (&str, u32),
        users: &[usize],
        text: &str,
        line: &str,
    ) {
        self.truth.append(thread, tseq, users, text);
        self.queues.post(&self.truth, users, line);
        for (waiter, body) in self.queues.wake() {
            let mut answer = Vec::new();
            http::answer(&mut answer, &body);
            self.write(poll, waiter, &answer);
        }
    }

    /// Ends receives that have waited long enough.
    pub(crate) fn tick(&mut self, poll: &Poll, now: u64) {
        for waiter in self.queues.expired(now) {
            let mut answer = Vec::new();
            http::answer(&mut answer, "{}");
            self.write(poll, waiter, &answer);
        }
    }

    fn write(&mut self, poll: &Poll, number: u64, bytes: &[u8]) {
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let waited = !conn.rest.is_empty();
        conn.rest.extend_from_slice(bytes);
        while !conn.rest.is_empty() {
            match conn.socket.write(&conn.rest) {
                Ok(count) => drop(conn.rest.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.close(number),
            }
        }
        let waits = !conn.rest.is_empty();
        if waits != waited {
            poll.rewatch(&conn.socket, Kind::StubConn.token(number), waits);
        }
    }

    fn close(&mut self, number: u64) {
        self.conns.remove(&number);
        self.queues.forget(number);
    }
}

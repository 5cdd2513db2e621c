//! One connection that says things, one at a time.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use memchr::memmem;

use crate::{
    mqtt::{self, Packet},
    stamp::{Stamp, number},
    target::{Dialect, Target},
};

/// A publisher. A topic always has the same one, so that its order is well defined.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) socket: TcpStream,
    /// What is under way.
    topic: Option<u32>,
    waiting: VecDeque<Stamp>,
    got: Vec<u8>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said {
    /// It was accepted.
    Accepted(u32),
    /// It was not.
    Rejected,
}

impl Publisher {
    pub(crate) fn connect(target: &Target, name: &str) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect(target.addresses[0])?;
        socket.set_nodelay(true)?;
        if target.dialect == Dialect::Mqtt {
            socket.write_all(&mqtt::connect(name, true))?;
            socket.read_exact(&mut [0; 4])?;
        }
        socket.set_nonblocking(true)?;
        Ok(Self { socket, topic: None, waiting: VecDeque::new(), got: Vec::new() })
    }

    /// Says something, after what waits.
    pub(crate) fn say(&mut self, target: &Target, name: impl Fn(u32) -> String, stamp: Stamp) {
        self.waiting.push_back(stamp);
        self.next(target, name);
    }

    /// How many messages are not accepted yet.
    pub(crate) fn pending(&self) -> usize {
        self.waiting.len() + usize::from(self.topic.is_some())
    }

    fn next(&mut self, target: &Target, name: impl Fn(u32) -> String) {
        if self.topic.is_none()
            && let Some(stamp) = self.waiting.pop_front()
        {
            self.topic = Some(stamp.topic);
            let name = name(stamp.topic);
            let request = target.publish(&name, &stamp.line(&name));
            let written = self.socket.write(&request).unwrap_or_default();
            assert_eq!(written, request.len(), "a small request fits an empty socket");
        }
    }

    /// Takes the answer.
    pub(crate) fn read(&mut self, target: &Target, name: impl Fn(u32) -> String) -> Option<Said> {
        let mut room = [0; 4096];
        match self.socket.read(&mut room) {
            Ok(0) => panic!("the server closed a publisher's connection"),
            Ok(count) => self.got.extend_from_slice(&room[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
            Err(error) => panic!("a publisher's connection broke: {error}"),
        }
        let accepted = match target.dialect {
            Dialect::Mqtt => {
                let (packet, size) = mqtt::next(&self.got)?;
                let accepted = packet == Packet::Acknowledged;
                self.got.drain(..size);
                accepted
            }
            _ => answer(&mut self.got)?,
        };
        let topic = self.topic.take();
        self.next(target, name);
        Some(topic.filter(|_| accepted).map_or(Said::Rejected, Said::Accepted))
    }
}

/// Takes a whole answer out of what has arrived: whether it is a 2xx.
fn answer(got: &mut Vec<u8>) -> Option<bool> {
    let end = memmem::find(got, b"\r\n\r\n")?;
    let head = got[..end + 2].to_ascii_lowercase();
    let status = head.get(9..12).and_then(number)?;
    let name = b"\r\ncontent-length: ";
    let size = memmem::find(&head, name).and_then(|at| {
        let value = &head[at + name.len()..];
        number(&value[..memchr::memchr(b'\r', value)?])
    });
    let end = end + 4 + size.unwrap_or(0) as usize;
    if got.len() < end {
        return None;
    }
    got.drain(..end);
    Some((200..300).contains(&status))
}

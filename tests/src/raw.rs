//! A socket that sends what no client library would, and keeps all that comes back.

use std::net::SocketAddr;

use client::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// A socket and all that it has got.
#[derive(Debug)]
pub struct Raw {
    /// The socket.
    pub socket: TcpStream,
    /// What has come back so far. Bytes that are no UTF-8 are replaced.
    pub got: String,
}

impl Raw {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, got: String::new() }
    }

    /// Sends a text.
    pub async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends bytes and waits for a response. Then it says that nothing follows, and reads to the end. The peer may end first.
    pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> Self {
        let mut raw = Self::open(address).await;
        raw.socket.write_all(bytes).await.ok();
        while !raw.got.contains("\r\n\r\n") && raw.more().await {}
        raw.socket.shutdown().await.ok();
        raw.end().await;
        raw
    }

    /// Reads on; false at the end, whether orderly or not.
    pub async fn more(&mut self) -> bool {
        let mut buf = [0; 4096];
        let read = timeout(PATIENCE, self.socket.read(&mut buf)).await.expect("something comes in time");
        let count = read.unwrap_or(0);
        self.got.push_str(&String::from_utf8_lossy(&buf[..count]));
        count > 0
    }

    /// Reads on until this has come.
    pub async fn until(&mut self, text: &str) {
        while !self.got.contains(text) {
            assert!(self.more().await, "it ends without {text:?}: {}", self.got);
        }
    }

    /// Reads to the end.
    pub async fn end(&mut self) {
        while self.more().await {}
    }

    /// The status of each response so far.
    pub fn statuses(&self) -> Vec<u16> {
        let heads = self.got.match_indices("HTTP/1.").map(|(at, _)| &self.got[at..]);
        heads.filter_map(|head| head.get(9..12)?.parse().ok()).collect()
    }
}

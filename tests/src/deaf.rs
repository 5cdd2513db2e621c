//! A client that opens a stream, and reads nothing but its hello.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use client::PATIENCE;

/// What the kernel keeps for such a client on its own side, in bytes (Linux doubles it): little,
/// so that what is not read stays with the server.
const RECEIVE_BUFFER: u32 = 4 * 1024;

const HELLO: &[u8] = b"event: hello";

/// An open stream that nobody reads. Dropping it cuts the connection.
#[derive(Debug)]
pub struct Deaf(#[expect(dead_code, reason = "held open")] TcpStream);

impl Deaf {
    /// Opens a stream, and reads no further than its hello.
    pub async fn open(edge: SocketAddr, token: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BUFFER).unwrap();
        let mut stream = socket.connect(edge).await.unwrap();
        let head =
            format!("GET /v1/events HTTP/1.1\r\nhost: {edge}\r\nauthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut heard = Vec::new();
        while !heard.windows(HELLO.len()).any(|some| some == HELLO) {
            heard.push(timeout(PATIENCE, stream.read_u8()).await.expect("it is let in").unwrap());
        }
        Self(stream)
    }
}

//! Sockets as a load needs them.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use socket2::{Domain, SockRef, Socket, Type};

/// What the kernel keeps for a client that never reads, in bytes (Linux doubles it): little, so that
/// what is not read stays with the server.
const DEAF_RECEIVE_BUFFER: usize = 4 * 1024;
/// Connections that may wait to be accepted: more than ever open at once.
const BACKLOG: i32 = 4096;

/// Begins to connect.
pub(crate) fn connect(to: SocketAddr, deaf: bool) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    if deaf {
        socket.set_recv_buffer_size(DEAF_RECEIVE_BUFFER)?;
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Linux's number for a connect that is under way.
const EINPROGRESS: i32 = 115;

/// Listens on a loopback address.
pub(crate) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Closes with a reset, as a client does that loses its network: nothing lingers on either side.
pub(crate) fn reset(socket: TcpStream) {
    // Without it the socket closes in good order, which costs the next phase a port.
    let _ = SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO));
}

/// Writes a few bytes that a fresh socket always has room for; false if it is over.
pub(crate) fn send(mut socket: &TcpStream, bytes: &[u8]) -> bool {
    matches!(socket.write(bytes), Ok(written) if written == bytes.len())
}

/// A port that is free now.
pub(crate) fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.local_addr().expect("its address")
}

//! The listening socket of a process and its HTTP/1.1 connections, each with an end to every wait:
//! for a head, for the next request, for a reader that does not read, for a peer that is gone.

use std::{io, net::SocketAddr, time::Duration};

use axum::Router;
use domain::limits;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use places::Places;

pub mod address;
mod connection;
mod io_guard;
mod patience;
mod places;
pub mod takeover;

/// Connections that the kernel keeps for us to accept: a reconnect storm must not be refused.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel probes a peer.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// First pause after a failed accept; it doubles up to [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause after a failed accept: files run out, and come back as connections end.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long the connections of a listener may wait, and how many there may be.
#[derive(Clone, Debug)]
pub struct Options {
    /// From the accept, or from the first byte of a later request, to the end of its head.
    pub header_timeout: Duration,
    /// From the end of a response to the first byte of the next request. Longer than what is
    /// in front keeps a connection (CloudFront 60 s), which otherwise sends into a closing socket.
    pub idle_timeout: Duration,
    /// No byte taken by the peer's side for this long, while there are bytes to send, closes.
    pub stall_timeout: Duration,
    /// Connections open at once; more wait in the kernel's backlog.
    pub connections_max: usize,
    /// Connections of one client address; more are closed. None behind a proxy, whose address is that of many clients.
    /// With a number, idle connections end after [`limits::SCARCE_IDLE`] while less than a fifth of the places is free.
    pub address_connections_max: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: Duration::from_secs(130),
            stall_timeout: limits::WRITE_STALL,
            connections_max: limits::CONNECTIONS,
            address_connections_max: None,
        }
    }
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("port {} is taken on {}: stop what listens there, or choose another with `--listen`",
            addr.port(), addr.ip())]
    Taken {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// Anything else, such as an address of another machine or a port below 1024.
    #[error("cannot listen on `{addr}`: {source}; choose another address with `--listen`")]
    Other {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A socket that listens already: connections made from now on wait for [`serve`].
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Bound {
    /// The address, with the port that the system chose where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Listens on `addr`. `send_buffer_bytes` bounds what the kernel keeps for a connection whose
/// reader is slow (Linux doubles the number); `None` leaves it to grow to 4 MiB.
///
/// # Errors
/// [`BindError`], a sentence that says what to do.
pub fn bind(addr: SocketAddr, send_buffer_bytes: Option<usize>) -> Result<Bound, BindError> {
    listen(addr, send_buffer_bytes).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { addr },
        _ => BindError::Other { addr, source },
    })
}

fn listen(addr: SocketAddr, send_buffer_bytes: Option<usize>) -> io::Result<Bound> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // An accepted socket inherits all of these, so that they cost no system call per connection.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(limits::WRITE_STALL))?;
    if let Some(bytes) = send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let addr = listener.local_addr()?;
    Ok(Bound { listener, addr })
}

/// Accepts connections and answers their requests with `router` until `shutdown`, then returns.
///
/// Connections live on `tracker`: close it and wait for it to see the last one off. At `shutdown`
/// an idle connection ends at once and a busy one after its response; a response that never ends
/// must watch `shutdown` itself. Handlers may ask for `ConnectInfo<SocketAddr>`, and for
/// [`takeover::Offer`] where a response may take the socket.
pub async fn serve(
    bound: Bound,
    router: Router,
    options: Options,
    shutdown: CancellationToken,
    tracker: &TaskTracker,
) {
    let places = Places::new(&options);
    let connections = connection::Connections::new(router, options, places.clone(), shutdown.clone());
    let accepting = async {
        loop {
            // A place first: what cannot be served stays in the backlog.
            let permit = places.take().await;
            let (stream, peer) = accept(&bound.listener).await;
            // One address must not take the places of all others.
            let Some(address) = places.admit(peer.ip()) else { continue };
            let place = takeover::Place::new((permit, address), tracker.token());
            tracker.spawn(connections.serve(stream, peer, place));
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accepting => {}
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = ACCEPT_PAUSE;
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The peer gave up while it waited: the next one is not to blame.
            Err(error) if is_peers(&error) => {}
            Err(error) => {
                let pause_ms = pause.as_millis();
                tracing::warn!("cannot accept a connection, trying again in {pause_ms} ms: {error}");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
            }
        }
    }
}

fn is_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests;

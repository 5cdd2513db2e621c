//! A TCP road, on which connections break in all the ways that they do.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rand::seq::SliceRandom as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
    time::sleep,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

/// Bytes that pass at once where it drips, and the time between two drops.
const DROP_BYTES: usize = 7;
const DROP_PERIOD: Duration = Duration::from_millis(10);

/// A road from one address to one of its ends. Dropping it cuts everything.
pub(crate) struct Road {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What a road does to what passes, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing.
    Fair,
    /// Nothing passes, and nobody is told.
    BlackHole,
    /// A few bytes at a time.
    Dribble,
    /// New connections are answered by the road: AWS has no capacity left.
    Throttles,
    /// The same: AWS fails.
    Fails,
}

/// What a road does to its connections at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strike {
    /// FIN to both sides.
    Cut,
    /// RST to both sides.
    Rst,
    /// FIN to the server only; what it still says arrives.
    HalfClose,
}

/// Which connections: those with one of the first lots of [`Lots::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lots(pub(crate) u8);

impl Lots {
    /// Every connection.
    pub(crate) const ALL: Self = Self(4);

    fn has(self, lot: u8) -> bool {
        lot < self.0
    }
}

struct Shared {
    ends: Mutex<Vec<SocketAddr>>,
    weather: watch::Sender<(Weather, Lots)>,
    struck: watch::Sender<Option<(Strike, Lots)>>,
}

impl Road {
    /// Builds a road that leads nowhere yet.
    pub(crate) async fn build() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            ends: Mutex::default(),
            weather: watch::Sender::new((Weather::Fair, Lots::ALL)),
            struck: watch::Sender::new(None),
        });
        let (tracker, stop, served) = (TaskTracker::new(), CancellationToken::new(), Arc::clone(&shared));
        let inner = (tracker.clone(), stop.clone());
        tracker.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                // A connection that breaks is what this road is for.
                let carrying = async move { drop(served.carry(client).await) };
                inner.0.spawn(inner.1.clone().run_until_cancelled_owned(carrying));
            }
        }));
        Self { address, shared, _stop: stop.drop_guard() }
    }

    /// Leads whoever comes from now on to one of these.
    pub(crate) fn lead_to(&self, ends: Vec<SocketAddr>) {
        *self.shared.ends.lock().unwrap() = ends;
    }

    /// Changes the weather for some connections; for all others it is fair.
    pub(crate) fn weather(&self, weather: Weather, lots: Lots) {
        self.shared.weather.send_replace((weather, lots));
    }

    /// Strikes some connections.
    pub(crate) fn strike(&self, strike: Strike, lots: Lots) {
        self.shared.struck.send_replace(Some((strike, lots)));
    }
}

impl Shared {
    fn weather_of(weather: (Weather, Lots), lot: u8) -> Weather {
        if weather.1.has(lot) { weather.0 } else { Weather::Fair }
    }

    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let lot = rand::random_range(0..Lots::ALL.0);
        let mut weather = self.weather.subscribe();
        let now = Self::weather_of(*weather.borrow_and_update(), lot);
        if matches!(now, Weather::Throttles | Weather::Fails) {
            return self.refuse(client, now).await;
        }
        let Some(mut server) = self.connect().await else {
            return client.set_zero_linger();
        };
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let end = {
            let ((client_in, mut client_out), (server_in, mut server_out)) = (client.split(), server.split());
            let (up, down) = (self.weather.subscribe(), self.weather.subscribe());
            // What the server has said is on its way, also when its own input ends.
            let up = async {
                tokio::select! {
                    passed = pump(client_in, &mut server_out, up, lot) => passed,
                    _ = strikes(self.struck.subscribe(), lot, |strike| strike == Strike::HalfClose) => {
                        server_out.shutdown().await
                    }
                }
            };
            let passing = async { tokio::try_join!(up, pump(server_in, &mut client_out, down, lot)) };
            let refused = weather.wait_for(|weather| {
                matches!(Self::weather_of(*weather, lot), Weather::Throttles | Weather::Fails)
            });
            tokio::select! {
                passed = passing => return passed.map(|_| ()),
                _ = refused => Strike::Cut,
                strike = strikes(self.struck.subscribe(), lot, |strike| strike != Strike::HalfClose) => strike,
            }
        };
        if end == Strike::Rst {
            client.set_zero_linger()?;
            server.set_zero_linger()?;
        }
        Ok(())
    }

    /// Any end that takes the connection.
    async fn connect(&self) -> Option<TcpStream> {
        let mut ends = self.ends.lock().unwrap().clone();
        ends.shuffle(&mut rand::rng());
        for end in ends {
            if let Ok(server) = TcpStream::connect(end).await {
                return Some(server);
            }
        }
        None
    }

    /// Answers in AWS's place until the weather is another.
    async fn refuse(&self, client: TcpStream, weather: Weather) -> io::Result<()> {
        let service = service_fn(async |request: Request<Incoming>| {
            let is_dynamodb = request
                .headers()
                .get("x-amz-target")
                .is_some_and(|target| target.to_str().is_ok_and(|target| target.starts_with("DynamoDB")));
            let _ = request.collect().await;
            let (status, code) = match (weather, is_dynamodb) {
                (Weather::Throttles, true) => (400, "ThrottlingException"),
                (Weather::Throttles, false) => (400, "RequestThrottled"),
                (_, true) => (500, "InternalServerError"),
                (_, false) => (500, "InternalFailure"),
            };
            let body = format!(r#"{{"__type":"com.amazonaws#{code}","message":"a fault of the road"}}"#);
            let answer =
                Response::builder().status(status).header("content-type", "application/x-amz-json-1.0");
            Ok::<_, Infallible>(answer.body(Full::new(bytes::Bytes::from(body))).unwrap())
        });
        let mut changes = self.weather.subscribe();
        tokio::select! {
            served = http1::Builder::new().serve_connection(TokioIo::new(client), service) => {
                served.map_err(io::Error::other)
            }
            _ = changes.wait_for(|now| now.0 != weather) => Ok(()),
        }
    }
}

/// The next strike of a kind that meets this lot.
async fn strikes(
    mut struck: watch::Receiver<Option<(Strike, Lots)>>,
    lot: u8,
    is_meant: impl Fn(Strike) -> bool,
) -> Strike {
    while struck.changed().await.is_ok() {
        if let Some((strike, lots)) = *struck.borrow_and_update()
            && lots.has(lot)
            && is_meant(strike)
        {
            return strike;
        }
    }
    std::future::pending().await
}

/// Passes bytes on, as the weather lets them, until their end.
async fn pump(
    mut from: tcp::ReadHalf<'_>,
    to: &mut tcp::WriteHalf<'_>,
    mut weather: watch::Receiver<(Weather, Lots)>,
    lot: u8,
) -> io::Result<()> {
    let mut bytes = [0; 8192];
    loop {
        let read = from.read(&mut bytes).await?;
        let mut rest = &bytes[..read];
        loop {
            let now = Shared::weather_of(*weather.borrow_and_update(), lot);
            let step = match now {
                Weather::BlackHole => {
                    // The road goes on with its weather.
                    let _ = weather.changed().await;
                    continue;
                }
                Weather::Dribble => rest.len().min(DROP_BYTES),
                _ => rest.len(),
            };
            to.write_all(&rest[..step]).await?;
            rest = &rest[step..];
            if rest.is_empty() {
                break;
            }
            sleep(DROP_PERIOD).await;
        }
        if read == 0 {
            return to.shutdown().await;
        }
    }
}

//! A road to DynamoDB on which all that is asked gets lost, from some time on.

use std::{io, net::SocketAddr, sync::Arc};

use client::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// The road. Dropping it closes it.
pub(crate) struct Hole {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    asked: Arc<watch::Sender<Asked>>,
    _serving: AbortOnDropHandle<()>,
}

/// What has come this way.
#[derive(Debug, Default)]
struct Asked {
    passed: usize,
    lost: usize,
    open: bool,
}

impl Hole {
    /// A road to `dynamodb`.
    pub(crate) async fn start(dynamodb: SocketAddr) -> Self {
        let asked = Arc::new(watch::Sender::new(Asked::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tracker, shared) = (TaskTracker::new(), Arc::clone(&asked));
        let connections = tracker.clone();
        let serving = tracker.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, dynamodb, Arc::clone(&shared)));
            }
        });
        Self { address, asked, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Waits until so many requests have passed.
    pub(crate) async fn has_passed(&self, requests: usize) {
        self.until(|asked| asked.passed >= requests).await;
    }

    /// Opens it: waits until something has got lost.
    pub(crate) async fn swallows(&self) {
        self.asked.send_modify(|asked| asked.open = true);
        self.until(|asked| asked.lost > 0).await;
    }

    async fn until(&self, is_so: impl FnMut(&Asked) -> bool) {
        let mut asked = self.asked.subscribe();
        timeout(PATIENCE, asked.wait_for(is_so)).await.expect("something is asked").unwrap();
    }
}

async fn carry(
    mut client: TcpStream,
    dynamodb: SocketAddr,
    asked: Arc<watch::Sender<Asked>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(dynamodb).await?;
    let ((mut client_in, mut client_out), (mut server_in, mut server_out)) = (client.split(), server.split());
    let up = async {
        let mut bytes = [0; 8192];
        loop {
            let read = client_in.read(&mut bytes).await?;
            if read == 0 {
                return io::Result::Ok(());
            }
            let mut lost = false;
            asked.send_modify(|asked| {
                lost = asked.open;
                *(if lost { &mut asked.lost } else { &mut asked.passed }) += 1;
            });
            if !lost {
                server_out.write_all(&bytes[..read]).await?;
            }
        }
    };
    tokio::select! {
        done = up => done,
        done = copy(&mut server_in, &mut client_out) => done.map(drop),
    }
}

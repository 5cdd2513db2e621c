//! Starts a server on its processor, and ends it.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    clock::{MILLI, SECOND, now},
    crowd::SECRET,
    load::Load,
    socket::free_port,
    stub::Stub,
    target::{Dialect, Target},
};

/// Where servers run; the generator has the other one.
pub(crate) const SERVER_CPU: &str = "0";
/// Seconds between two signs of life of a stream, for each server that can be told.
pub(crate) const PING_SECONDS: u64 = 15;
/// Seconds that an edge keeps the leases of those who have gone: longer than a storm's, and short enough
/// that giving them back is over before the next phase.
pub(crate) const LINGER_SECONDS: u64 = 2;
/// Most streams of one edge: a process may usually have 20,000 files.
pub(crate) const EDGE_STREAMS: usize = 18_500;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Peer {
    /// One thread, epoll, one `send` a frame: the physical limit.
    Raw,
    /// The real `sse-edge`.
    Runnel,
    /// nginx with nchan.
    Nchan,
    /// What one writes in an afternoon with axum.
    Naive,
    /// mosquitto, over plain MQTT.
    Mosquitto,
}

impl Peer {
    /// As in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Runnel => "Runnel",
            Self::Nchan => "nchan",
            Self::Naive => "naive axum",
            Self::Mosquitto => "mosquitto",
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    children: Vec<Child>,
    pub(crate) target: Target,
}

impl Server {
    /// Starts one.
    pub(crate) fn start(peer: Peer, load: &mut Load) -> anyhow::Result<Self> {
        if peer == Peer::Runnel {
            return Self::edges(1, SERVER_CPU, load);
        }
        let at = free_port();
        let (dialect, command) = match peer {
            Peer::Raw | Peer::Naive => {
                let name = if peer == Peer::Raw { "raw" } else { "naive" };
                let mut command = on(SERVER_CPU, std::env::current_exe()?.to_str().context("a path")?);
                command.args(["serve", name, &at.to_string()]);
                (Dialect::Query, command)
            }
            Peer::Nchan => (Dialect::Path, nchan(at)?),
            Peer::Mosquitto => (Dialect::Mqtt, mosquitto(at)?),
            Peer::Runnel => unreachable!("started above"),
        };
        let mut server = Self { children: Vec::new(), target: Target { dialect, addresses: vec![at] } };
        server.spawn(command, peer.name())?;
        server.listens(load)?;
        Ok(server)
    }

    /// Starts edges that share the stub.
    pub(crate) fn edges(count: usize, cpus: &str, load: &mut Load) -> anyhow::Result<Self> {
        let stub = Stub::start(&load.poll);
        let endpoint = format!("http://{}", stub.address);
        load.stub = Some(stub);
        let target =
            Target { dialect: Dialect::Runnel, addresses: (0..count).map(|_| free_port()).collect() };
        let mut server = Self { children: Vec::new(), target };
        for at in server.target.addresses.clone() {
            let mut command = on(cpus, &beside("sse-edge")?);
            command.args(["--listen", &at.to_string(), "--table", "bench", "--stage", "bench"]);
            command.args(["--queues", "per-edge", "--ping-seconds", &PING_SECONDS.to_string()]);
            command.args(["--max-streams", &EDGE_STREAMS.to_string()]);
            command.args(["--linger-seconds", &LINGER_SECONDS.to_string()]);
            command.args(["--dynamodb-endpoint", &endpoint, "--sqs-endpoint", &endpoint]);
            command.env("RUNNEL_JWT_SECRET", SECRET);
            server.spawn(command, "sse-edge")?;
        }
        server.listens(load)?;
        // Its first beat, without which it receives nothing.
        load.run(SECOND / 2);
        Ok(server)
    }

    fn spawn(&mut self, mut command: Command, name: &str) -> anyhow::Result<()> {
        let log = File::create(folder()?.join(format!("bench-{}.log", name.replace(' ', "-"))))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.children.push(command.spawn().with_context(|| format!("could not start {name}"))?);
        Ok(())
    }

    /// Waits until it can be connected to; the stub answers meanwhile.
    fn listens(&mut self, load: &mut Load) -> anyhow::Result<()> {
        let end = now() + 15 * SECOND;
        for at in self.target.addresses.clone() {
            while TcpStream::connect(at).is_err() {
                for child in &mut self.children {
                    if let Some(status) = child.try_wait()? {
                        bail!("a server ended at once ({status}); see tests/out/bench-*.log");
                    }
                }
                if now() > end {
                    bail!("a server does not listen; see tests/out/bench-*.log");
                }
                load.run(20 * MILLI);
            }
        }
        Ok(())
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in &mut self.children {
            // nginx ends its workers only if it is asked; an edge would drain.
            let asked = Pid::from_raw(child.id() as i32).map(|pid| kill_process(pid, Signal::TERM));
            let end = now() + if self.target.dialect == Dialect::Runnel { 0 } else { 2 * SECOND };
            while asked == Some(Ok(())) && now() < end && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A command on these processors. What is inherited is the generator's own and the rank of its thread.
pub(crate) fn on(cpus: &str, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cpus, program]);
    command
}

/// A program of this workspace.
pub(crate) fn beside(name: &str) -> anyhow::Result<String> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("`{}` is not there: `tests/run bench` builds it", path.display());
    }
    Ok(path.to_string_lossy().into_owned())
}

/// Where logs and settings of servers go.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let folder = std::path::absolute("tests/out")?;
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn nchan(at: SocketAddr) -> anyhow::Result<Command> {
    let folder = folder()?;
    let (port, here) = (at.port(), folder.display());
    let settings = format!(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_processes 1; daemon off; error_log {here}/nginx.log crit; pid {here}/nginx.pid; worker_rlimit_nofile 19999;
events {{ worker_connections 19900; }}
http {{
  access_log off; tcp_nodelay on; keepalive_requests 100000000; nchan_shared_memory_size 1024M;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location ~ ^/sub/(.+)$ {{
      nchan_subscriber eventsource; nchan_channel_id $1; nchan_subscriber_first_message newest;
      nchan_eventsource_ping_interval {PING_SECONDS};
    }}
    location ~ ^/pub/(.+)$ {{
      nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 100; nchan_message_timeout 10m;
    }}
  }}
}}
"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, settings)?;
    let mut command = on(SERVER_CPU, "nginx");
    command.arg("-c").arg(path);
    Ok(command)
}

fn mosquitto(at: SocketAddr) -> anyhow::Result<Command> {
    let settings = format!(
        "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\nlog_dest none\nmax_queued_messages 1000\n",
        at.port()
    );
    let path = folder()?.join("mosquitto.conf");
    fs::write(&path, settings)?;
    let mut command = on(SERVER_CPU, "mosquitto");
    command.arg("-c").arg(path);
    Ok(command)
}

//! The one process behind the plainest configurations of the usual proxies.

use std::{fs, net::SocketAddr, path::Path};

use client::{http::Api, sse::Stream};
use serde_json::json;
use tests::{
    process::{Folder, Running, program, run},
    world::until,
};
use tokio::{
    net::{TcpListener, TcpStream},
    process::{Child, Command},
};

/// What the documentation of nginx begins with: no header is set or passed on.
fn nginx(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> Command {
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}/{name};", folder.display()))
        .join(" ");
    let config = format!(
        "daemon off; pid {0}/nginx.pid; error_log {0}/nginx.log;
         events {{}}
         http {{
           access_log off; {paths}
           server {{ listen {listen}; location / {{ proxy_pass http://{upstream}; }} }}
         }}",
        folder.display()
    );
    fs::write(folder.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.arg("-e").arg(folder.join("nginx.log")).arg("-c").arg(folder.join("nginx.conf"));
    command
}

fn haproxy(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> Command {
    let config = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         frontend in\n  bind {listen}\n  default_backend runnel\n\
         backend runnel\n  server one {upstream}\n"
    );
    fs::write(folder.join("haproxy.cfg"), config).unwrap();
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
    command
}

fn caddy(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> Command {
    let (ip, port) = (listen.ip(), listen.port());
    let config =
        format!("{{\n  admin off\n}}\nhttp://:{port} {{\n  bind {ip}\n  reverse_proxy {upstream}\n}}\n");
    fs::write(folder.join("Caddyfile"), config).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(folder.join("Caddyfile"));
    command.env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
    command
}

/// An address of loopback that nobody else is likely to have. A proxy cannot say which port it was given.
async fn free_address() -> SocketAddr {
    let [a, b, c, _] = rand::random::<u32>().to_be_bytes();
    let listener = TcpListener::bind(SocketAddr::from(([127, a, b, c.max(2)], 0))).await.unwrap();
    listener.local_addr().unwrap()
}

/// Starts `name` in front of a server. None where the machine lacks it.
async fn start(
    name: &str,
    config: fn(SocketAddr, SocketAddr, &Path) -> Command,
    upstream: SocketAddr,
    folder: &Folder,
) -> Option<(Child, SocketAddr)> {
    let listen = free_address().await;
    let log = fs::File::create(folder.at(name)).unwrap();
    let mut command = config(listen, upstream, folder.path());
    command.kill_on_drop(true).stdout(log.try_clone().unwrap()).stderr(log);
    // Where it could not be installed, `tests/run` has said so.
    let child = command.spawn().ok()?;
    until(&format!("{name} listens"), async || TcpStream::connect(listen).await.is_ok()).await;
    Some((child, listen))
}

async fn serves_and_lets_nobody_in(name: &str, config: fn(SocketAddr, SocketAddr, &Path) -> Command) {
    let folder = Folder::new();
    let mut command = program("runnel");
    command.args(["--listen", "127.0.0.1:0", "--data-dir", folder.text()]);
    let server = Running::serving(command).await;
    let Some((_proxy, proxy)) = start(name, config, server.address, &folder).await else { return };
    let stranger = Api { address: proxy, token: None };
    // Nobody signs in by name through it, whatever host they claim.
    for host in ["chat.example.com".to_owned(), server.address.to_string(), "localhost".to_owned()] {
        let headers = [("host", host.as_str())];
        for body in
            [json!({"user": "ceo"}), json!({"user": "ceo", "word": ""}), json!({"user": "ceo", "word": "0"})]
        {
            let answer = stranger.call("POST", "/dev/session", Some(body), &headers).await;
            assert_eq!(answer.status, 403, "{name} {host}: {answer:?}");
        }
    }
    // What has a token is served as without the proxy: a stream is neither held back nor cut.
    let token = async |user: &str| {
        let printed = run("runnel", &["token", user, "--data-dir", folder.text()]).await;
        String::from_utf8(printed.stdout).unwrap().trim().to_owned()
    };
    let (alice, bob) = (Api { token: Some(token("alice").await), ..stranger.clone() }, token("bob").await);
    let mut stream = Stream::open(proxy, &bob, None).await;
    assert_eq!(
        (stream.status.as_u16(), stream.headers["content-type"].as_bytes()),
        (200, &b"text/event-stream"[..])
    );
    stream.expect("hello").await;
    let thread = alice.thread(json!({"members": ["bob"]})).await;
    stream.expect("thread").await;
    for text in ["one", "two"] {
        alice.say(&thread, text).await;
        assert_eq!(stream.expect("message").await.data["text"], text, "{name}");
    }
    let page = client::http::text(proxy, "/").await;
    assert!(page.contains("<title>Runnel</title>"), "{name}: {page}");
}

#[tokio::test]
async fn behind_nginx_it_serves_and_lets_nobody_in() {
    serves_and_lets_nobody_in("nginx", nginx).await;
}

#[tokio::test]
async fn behind_haproxy_it_serves_and_lets_nobody_in() {
    serves_and_lets_nobody_in("haproxy", haproxy).await;
}

#[tokio::test]
async fn behind_caddy_it_serves_and_lets_nobody_in() {
    serves_and_lets_nobody_in("caddy", caddy).await;
}

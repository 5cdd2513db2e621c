//! Firefox's own remote protocol, which geckodriver translates `WebDriver` to: JSON arrays behind
//! their length, on a local port.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::browser::PATIENCE;

/// The key under which `WebDriver` names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session with a Firefox.
#[derive(Debug)]
pub struct Marionette {
    socket: BufReader<TcpStream>,
    asked: u32,
}

impl Marionette {
    /// Begins a session.
    pub async fn connect(port: u16) -> Self {
        let socket = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        let mut firefox = Self { socket, asked: 0 };
        let greeting = firefox.receive().await;
        assert_eq!(greeting["marionetteProtocol"], 3, "{greeting}");
        firefox.command("NewSession", json!({})).await;
        firefox
    }

    /// Has one of `WebDriver`'s commands done; its value.
    pub async fn command(&mut self, name: &str, parameters: Value) -> Value {
        let [_, _, error, mut result] = self.ask(&format!("WebDriver:{name}"), parameters).await;
        assert!(error.is_null(), "Firefox cannot {name}: {error}");
        result["value"].take()
    }

    /// The element that a selector finds.
    pub async fn find(&mut self, css: &str) -> String {
        let found = self.command("FindElement", json!({"using": "css selector", "value": css})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Ends the browser.
    pub async fn quit(mut self) {
        self.ask("Marionette:Quit", json!({"flags": ["eForceQuit"]})).await;
    }

    async fn ask(&mut self, name: &str, parameters: Value) -> [Value; 4] {
        self.asked += 1;
        let command = json!([0, self.asked, name, parameters]).to_string();
        let packet = format!("{}:{command}", command.len());
        self.socket.get_mut().write_all(packet.as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, self.receive()).await.expect("Firefox answers in time");
        let answer: [Value; 4] = serde_json::from_value(answer).unwrap();
        assert_eq!(answer[1], self.asked, "the answer is to this command");
        answer
    }

    async fn receive(&mut self) -> Value {
        let mut length = Vec::new();
        self.socket.read_until(b':', &mut length).await.unwrap();
        let length = std::str::from_utf8(&length).unwrap().trim_end_matches(':').parse().unwrap();
        let mut packet = vec![0; length];
        self.socket.read_exact(&mut packet).await.unwrap();
        serde_json::from_slice(&packet).unwrap()
    }
}

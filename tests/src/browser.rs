//! One window, whoever drives it.

use std::{fs, path::PathBuf, time::Duration};

use data_encoding::BASE64;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::marionette::Marionette;

/// The longest that a browser may take for anything. Firefox starts within 4 s on an idle machine, and within a minute where
/// other tests and browsers keep every core busy.
pub const PATIENCE: Duration = Duration::from_mins(3);

/// A window of a browser.
#[derive(Debug)]
pub enum Browser {
    /// Driven by a driver of its own.
    Driver(Client),
    /// Driven without one.
    Marionette(Marionette),
}

impl Browser {
    /// Loads a page.
    pub async fn goto(&mut self, url: &str) {
        match self {
            Self::Driver(client) => client.goto(url).await.unwrap(),
            Self::Marionette(firefox) => drop(firefox.command("Navigate", json!({"url": url})).await),
        }
    }

    /// Runs a script with `arguments`; what it returns.
    pub async fn script(&mut self, script: &str, arguments: Vec<Value>) -> Value {
        match self {
            Self::Driver(client) => client.execute(script, arguments).await.unwrap(),
            Self::Marionette(firefox) => {
                firefox.command("ExecuteScript", json!({"script": script, "args": arguments})).await
            }
        }
    }

    /// Clicks on what a selector finds.
    pub async fn click(&mut self, css: &str) {
        match self {
            Self::Driver(client) => client.find(Locator::Css(css)).await.unwrap().click().await.unwrap(),
            Self::Marionette(firefox) => {
                let id = firefox.find(css).await;
                firefox.command("ElementClick", json!({"id": id})).await;
            }
        }
    }

    /// Types into what a selector finds.
    pub async fn write(&mut self, css: &str, text: &str) {
        match self {
            Self::Driver(client) => {
                client.find(Locator::Css(css)).await.unwrap().send_keys(text).await.unwrap();
            }
            Self::Marionette(firefox) => {
                let id = firefox.find(css).await;
                firefox.command("ElementSendKeys", json!({"id": id, "text": text})).await;
            }
        }
    }

    /// Takes `tests/out/NAME.png`.
    pub async fn picture(&mut self, name: &str) {
        let picture = match self {
            Self::Driver(client) => client.screenshot().await.unwrap(),
            Self::Marionette(firefox) => {
                let taken = firefox.command("TakeScreenshot", json!({"full": false, "hash": false})).await;
                BASE64.decode(taken.as_str().unwrap().as_bytes()).unwrap()
            }
        };
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("out");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.png")), picture).unwrap();
    }

    /// Ends it.
    pub async fn close(self) {
        // The process is killed afterwards; this takes the driver's children along.
        match self {
            Self::Driver(client) => drop(client.close().await),
            Self::Marionette(firefox) => firefox.quit().await,
        }
    }
}

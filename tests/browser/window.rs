//! One browser window, driven and read as a person would: by what the page shows.

use anyhow::{Context, Result, ensure};
use fantoccini::{Client, Locator, key::Key};
use serde_json::Value;

use crate::wait::until;

/// Remembers that this is still the first load, and every text that ever stood there twice.
const WATCH: &str = r#"
    window.firstLoad = true;
    window.doubled = [];
    new MutationObserver(() => {
        const texts = [...document.querySelectorAll('[data-testid="text"]')].map((node) => node.textContent);
        window.doubled.push(...texts.filter((text, at) => text && texts.indexOf(text) !== at));
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
"#;
const MESSAGES: &str = r#"
    return [...document.querySelectorAll('[data-testid="message"]')].map((node) => [
        node.dataset.tseq ?? "", node.dataset.state ?? "", node.querySelector('[data-testid="text"]').textContent,
    ]);
"#;

/// A message as it stands on the page.
#[derive(Debug)]
pub(crate) struct Message {
    /// Its place in the thread; empty while it is being sent.
    pub(crate) tseq: String,
    /// `sending`, `sent` or `failed`.
    pub(crate) state: String,
    /// What it says.
    pub(crate) text: String,
}

/// A browser with one user.
pub(crate) struct Window {
    pub(crate) client: Client,
}

impl Window {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Loads the page, once: nothing here reloads it.
    pub(crate) async fn visit(&self, link: &str) -> Result<()> {
        self.client.goto(link).await?;
        // The word is a secret: it does not stay where others may see it.
        ensure!(!self.client.current_url().await?.as_str().contains("word"), "the word stays in the address");
        self.script(WATCH).await?;
        Ok(())
    }

    pub(crate) async fn sign_in(&self, name: &str) -> Result<()> {
        self.type_into("name", name).await?;
        self.click("sign-in").await?;
        self.is_live().await
    }

    /// Fills in the form for the direct thread with `user`.
    pub(crate) async fn fill_in_thread(&self, user: &str) -> Result<()> {
        self.click("new-thread").await?;
        self.type_into("members", user).await
    }

    /// Starts the thread that was filled in, which opens it.
    pub(crate) async fn start_thread(&self) -> Result<()> {
        self.click("create").await
    }

    pub(crate) async fn open_details(&self) -> Result<()> {
        self.click("details").await
    }

    /// Closes them as a keyboard does.
    pub(crate) async fn close_details(&self) -> Result<()> {
        self.press(&[Key::Escape]).await
    }

    pub(crate) async fn open_newest_thread(&self) -> Result<()> {
        self.click("thread").await
    }

    /// Accepts the invitation to the open thread.
    pub(crate) async fn accept(&self) -> Result<()> {
        self.click("banner-yes").await
    }

    pub(crate) async fn send(&self, text: &str) -> Result<()> {
        self.type_into("composer", text).await?;
        self.click("send").await
    }

    /// Sends a file to the open thread by the client of the page, which has no button for that.
    pub(crate) async fn send_file(&self, url: &str, name: &str, size: u64) -> Result<()> {
        let script = r#"
            const [url, name, size, done] = arguments;
            (async () => {
                const { Runnel, uuid } = await import("/runnel.js");
                const { storedSession } = await import("/signin.js");
                const runnel = new Runnel({ token: storedSession().token });
                await runnel.send(location.hash.slice(1), "", uuid(), { attachments: [{ url, name, size }] });
            })().then(() => done(""), (error) => done(String(error)));
        "#;
        let failure = self.client.execute_async(script, vec![url.into(), name.into(), size.into()]).await?;
        anyhow::ensure!(failure == "", "the file was not sent: {failure}");
        Ok(())
    }

    /// Opens the menu of the message `text` as a keyboard does.
    pub(crate) async fn open_menu_of(&self, text: &str) -> Result<()> {
        let script = r#"
            const row = [...document.querySelectorAll('[data-testid="message"]')]
                .find((row) => row.querySelector('[data-testid="text"]').textContent === arguments[0]);
            row.querySelector('[data-testid="menu"]').focus();
        "#;
        self.client.execute(script, vec![Value::from(text)]).await?;
        self.press(&[Key::Enter]).await
    }

    /// Presses keys, one after another, each where the focus is by then.
    pub(crate) async fn press(&self, keys: &[Key]) -> Result<()> {
        for key in keys {
            self.write(&char::from(*key).to_string()).await?;
        }
        Ok(())
    }

    /// Types a text where the focus is.
    pub(crate) async fn write(&self, text: &str) -> Result<()> {
        Ok(self.client.active_element().await?.send_keys(text).await?)
    }

    /// Waits until the list names a thread so.
    pub(crate) async fn lists(&self, name: &str) -> Result<()> {
        let script = r#"return [...document.querySelectorAll('[data-testid="thread"] .name')].map((n) => n.textContent)"#;
        until("the list has the name", async || {
            let names: Vec<String> = serde_json::from_value(self.script(script).await?)?;
            Ok(if names.iter().any(|n| n == name) { Ok(()) } else { Err(format!("{names:?}")) })
        })
        .await
    }

    /// Waits until exactly these messages are shown, sent, in this order.
    pub(crate) async fn shows(&self, texts: &[&str]) -> Result<()> {
        until("the messages are shown", async || {
            let messages = self.messages().await?;
            let same = messages.iter().map(|message| message.text.as_str()).eq(texts.iter().copied());
            let sent = messages.iter().all(|message| message.state == "sent");
            Ok(if same && sent { Ok(()) } else { Err(format!("{messages:?}, not {texts:?}")) })
        })
        .await
    }

    /// Waits until one message `text` is shown, in that state.
    pub(crate) async fn shows_as(&self, text: &str, state: &str) -> Result<()> {
        until("the message is shown in its state", async || {
            let messages = self.messages().await?;
            let found: Vec<_> = messages.iter().filter(|message| message.text == text).collect();
            let good = matches!(found.as_slice(), [one] if one.state == state);
            Ok(if good { Ok(()) } else { Err(format!("{messages:?}, not `{text}` as `{state}`")) })
        })
        .await
    }

    /// Waits until the list says that this many messages are unread.
    pub(crate) async fn has_unread(&self, count: u32) -> Result<()> {
        self.reads("unread", |text| text == count.to_string()).await
    }

    /// Waits until the newest own message is marked as seen.
    pub(crate) async fn is_told_seen(&self) -> Result<()> {
        self.reads("seen", |text| text.starts_with("Seen")).await
    }

    pub(crate) async fn is_live(&self) -> Result<()> {
        self.reads("connection", |text| text == "Live").await
    }

    pub(crate) async fn is_not_live(&self) -> Result<()> {
        self.reads("connection", |text| text != "Live").await
    }

    /// Waits until the log stands at its end.
    pub(crate) async fn has_newest_in_view(&self) -> Result<()> {
        let script = r#"
            const log = document.querySelector('[role="log"]');
            return log.scrollHeight - log.scrollTop - log.clientHeight;
        "#;
        until("the newest message is in view", async || {
            let below = self.script(script).await?.as_f64().unwrap_or(f64::MAX);
            Ok(if below < 2.0 { Ok(()) } else { Err(format!("{below} pixels below what is in view")) })
        })
        .await
    }

    pub(crate) async fn messages(&self) -> Result<Vec<Message>> {
        let rows: Vec<(String, String, String)> = serde_json::from_value(self.script(MESSAGES).await?)?;
        Ok(rows.into_iter().map(|(tseq, state, text)| Message { tseq, state, text }).collect())
    }

    pub(crate) async fn was_never_reloaded(&self) -> Result<bool> {
        Ok(self.script("return window.firstLoad === true").await? == true)
    }

    /// Texts that stood there twice at any moment.
    pub(crate) async fn ever_doubled(&self) -> Result<Vec<String>> {
        Ok(serde_json::from_value(self.script("return window.doubled").await?)?)
    }

    pub(crate) async fn close(self) -> Result<()> {
        self.client.close().await.context("cannot close the browser")
    }

    /// Waits until the last element so marked reads as it should.
    pub(crate) async fn reads(&self, testid: &str, right: impl Fn(&str) -> bool) -> Result<()> {
        let script =
            format!(r#"return [...document.querySelectorAll('{}')].at(-1)?.textContent ?? """#, hook(testid));
        until(&format!("`{testid}` reads as it should"), async || {
            let value = self.script(&script).await?;
            let text = value.as_str().unwrap_or_default();
            Ok(if right(text) { Ok(()) } else { Err(format!("`{text}`")) })
        })
        .await
    }

    /// Types into a field behind what it holds.
    pub(crate) async fn type_into(&self, testid: &str, text: &str) -> Result<()> {
        let field = self.client.wait().for_element(Locator::Css(&hook(testid))).await?;
        self.visible(testid).await?;
        Ok(field.send_keys(text).await?)
    }

    /// Clicks.
    pub(crate) async fn click(&self, testid: &str) -> Result<()> {
        self.visible(testid).await?;
        Ok(self.client.find(Locator::Css(&hook(testid))).await?.click().await?)
    }

    /// Waits until no such element is visible.
    pub(crate) async fn is_gone(&self, testid: &str) -> Result<()> {
        let script = format!("return document.querySelector('{}')?.checkVisibility() !== true", hook(testid));
        until(&format!("`{testid}` is gone"), async || {
            Ok(if self.script(&script).await? == true { Ok(()) } else { Err("it is visible".to_owned()) })
        })
        .await
    }

    async fn visible(&self, testid: &str) -> Result<()> {
        let script = format!("return document.querySelector('{}')?.checkVisibility() === true", hook(testid));
        until(&format!("`{testid}` is visible"), async || {
            Ok(if self.script(&script).await? == true { Ok(()) } else { Err("nothing visible".to_owned()) })
        })
        .await
    }

    async fn script(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }
}

fn hook(testid: &str) -> String {
    format!(r#"[data-testid="{testid}"]"#)
}

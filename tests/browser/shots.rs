//! Pictures of the page in `tests/out/`, for people to look at: a phone and a desktop, light and dark.

use std::{fs, path::PathBuf};

use anyhow::Result;
use fantoccini::wd::WebDriverCompatibleCommand;
use http::Method;
use serde_json::{Value, json};
use url::{ParseError, Url};

use crate::window::Window;

const SIZES: [(u32, u32); 2] = [(390, 844), (1280, 800)];
const SCHEMES: [&str; 2] = ["light", "dark"];

/// Where the pictures and logs go; git does not keep them.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("out")
}

/// Takes `NAME-WIDTHxHEIGHT-SCHEME.png` of every size and scheme, and leaves the window as it was.
pub(crate) async fn everywhere(window: &Window, name: &str) -> Result<()> {
    for (width, height) in SIZES {
        for scheme in SCHEMES {
            let size =
                json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 720 });
            devtools(window, "Emulation.setDeviceMetricsOverride", size).await?;
            // Without motion, so that nothing is taken half way in.
            let features = json!({ "features": [
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": "reduce" },
            ] });
            devtools(window, "Emulation.setEmulatedMedia", features).await?;
            one(window, &format!("{name}-{width}x{height}-{scheme}")).await?;
        }
    }
    devtools(window, "Emulation.setEmulatedMedia", json!({ "features": [] })).await?;
    devtools(window, "Emulation.clearDeviceMetricsOverride", json!({})).await
}

/// Takes `NAME.png` of the window as it is.
pub(crate) async fn one(window: &Window, name: &str) -> Result<()> {
    fs::create_dir_all(folder())?;
    let picture = window.client.screenshot().await?;
    Ok(fs::write(folder().join(format!("{name}.png")), picture)?)
}

async fn devtools(window: &Window, command: &'static str, params: Value) -> Result<()> {
    window.client.issue_cmd(DevTools { command, params }).await?;
    Ok(())
}

/// Chromedriver's way to the browser's own protocol, which alone knows of colour schemes and of
/// widths below those of a window.
#[derive(Debug)]
struct DevTools {
    command: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base_url: &Url, session_id: Option<&str>) -> Result<Url, ParseError> {
        base_url.join(&format!("session/{}/goog/cdp/execute", session_id.unwrap_or_default()))
    }

    fn method_and_body(&self, _request_url: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.params });
        (Method::POST, Some(body.to_string()))
    }
}

//! The OpenAPI document as a client reads it: which answers an operation has.

use client::http::{Answer, Api};
use serde_json::Value;

/// The document that a service serves.
#[derive(Debug)]
pub struct Document(Value);

impl Document {
    /// Reads it.
    pub async fn of(api: &Api) -> Self {
        Self(api.get("/v1/openapi.json").await.body)
    }

    /// What is wrong with an answer, if the document does not name its status, or its problem for that status.
    ///
    /// # Panics
    /// If there is no such operation.
    pub fn objection(&self, method: &str, path: &str, answer: &Answer) -> Option<String> {
        let path = path.split('?').next().unwrap_or_default();
        let paths = self.0["paths"].as_object().expect("a document has paths");
        let item = paths.iter().find(|(template, _)| fits(template, path));
        let (template, item) = item.unwrap_or_else(|| panic!("no operation for {path}"));
        let status = answer.status.as_str();
        let response = &item[method.to_lowercase()]["responses"][status];
        let is_named = answer.problem().is_empty() || {
            let told = response["description"].as_str().unwrap_or_default();
            told.contains(&format!("`{}`", answer.problem()))
        };
        let is_told = !response.is_null() && is_named;
        (!is_told).then(|| format!("{method} {template} does not name {status} {}", answer.problem()))
    }
}

/// Whether a path is one of a template with parts in braces. A template without such a part is found first.
fn fits(template: &str, path: &str) -> bool {
    let (parts, wanted): (Vec<&str>, Vec<&str>) = (path.split('/').collect(), template.split('/').collect());
    parts.len() == wanted.len()
        && parts.iter().zip(wanted).all(|(part, wanted)| wanted.starts_with('{') || *part == wanted)
}

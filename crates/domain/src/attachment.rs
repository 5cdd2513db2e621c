//! What a message has besides its text: files that lie elsewhere, and data of the application.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use utoipa::ToSchema;

use crate::{
    ids::{all, id},
    limits, text,
};

id!(
    /// Where a file lies. Only `https`: whoever reads the message opens it.
    Address, "an address", "begin with `https://`, name a host and no user, and have at most 2,048 characters that a URL may have",
    r"^https://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?([/?#][A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]{0,1780})?$",
    is_address
);
id!(
    /// The media type of a file (RFC 6838, section 4.2), without parameters.
    MediaType, "a media type", "be like `image/png`, and have at most 127 characters",
    r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,62}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,62}$", is_media_type
);
id!(
    /// The name of a file, for people.
    FileName, "a file name", "have 1 to 200 bytes, something to see, no `/` and `\\`, and no control or format characters",
    r"^[^/\\]{1,200}$",
    |t| t.len() <= limits::TITLE_BYTES && !t.contains(['/', '\\']) && text::is_title(t)
);

/// Programs differ in what they make of a URL with other characters (RFC 3986, section 2): what is a host to one may be a
/// user to another.
fn is_address(text: &str) -> bool {
    let is_of_url = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    let is_of_host = |b: u8| b.is_ascii_alphanumeric() || b".-".contains(&b);
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.split_once(':').map_or(authority, |(host, _)| host);
    all(text, limits::ADDRESS_BYTES, is_of_url) && all(host, 253, is_of_host) && Url::parse(text).is_ok()
}

fn is_media_type(text: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && all(name, 63, |b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    text.split_once('/').is_some_and(|(kind, name)| is_name(kind) && is_name(name))
}

/// A file that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attachment {
    /// Where it lies.
    pub url: Address,
    /// Its media type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub media_type: Option<MediaType>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<FileName>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 9_007_199_254_740_991_u64)]
    pub size: Option<u64>,
    /// The width of a picture or a film in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 4_294_967_295_u64)]
    pub width: Option<u32>,
    /// Its height in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, maximum = 4_294_967_295_u64)]
    pub height: Option<u32>,
    /// Where a smaller picture of it lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub preview: Option<Address>,
}

/// What an application keeps with a message: a JSON object that Runnel does not look into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub struct Data(Map<String, Value>);

impl Data {
    /// Whether there is nothing in it, which is the same as no data.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_opens_a_file_and_nothing_else() {
        for good in
            ["https://files.example/a.png", "https://127.0.0.1:8443/a?b=c#d", "https://xn--4ca.example"]
        {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "http://files.example/a.png",
            "javascript:alert(1)",
            "https:files.example",
            "https://",
            "https://alice@files.example/",
            "https://:secret@files.example/",
            "https://files.example/ä",
            "https://files.example/a b",
            "https://files.example/a\\b",
            "https://files.example\\@evil.example/",
            "https://files.example:x/",
            "https://files.example/\n",
            &format!("https://files.example/{}", "x".repeat(2_048)),
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_media_type_has_two_names_and_a_file_name_no_folder() {
        for good in ["image/png", "application/vnd.oasis.opendocument.text", "image/svg+xml"] {
            assert!(MediaType::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "image", "image/", "/png", "image/png/x", "image/png; q=1", "image/*", "-a/b"] {
            assert!(MediaType::parse(bad).is_err(), "{bad}");
        }
        assert!(FileName::parse("holiday 2026.png").is_ok());
        for bad in ["", " ", "../a", "a\\b", "exe.\u{202e}gnp", "a\nb"] {
            assert!(FileName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn data_is_one_line_whatever_the_sender_wrote() {
        let data: Data = serde_json::from_str("{\n  \"b\": [1,\t2],\n  \"a\": \"x\\ny\"\n}").unwrap();
        assert_eq!(serde_json::to_string(&data).unwrap(), r#"{"a":"x\ny","b":[1,2]}"#);
        assert!(serde_json::from_str::<Data>("[]").is_err());
    }
}

//! How users are shown to others: the profile that each of them keeps.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    attachment::{Address, Data},
    ids::{UserId, id},
    limits,
    sequence::ProfileVersion,
    text,
};

id!(
    /// The name that a user is shown by. Two users may have the same one.
    DisplayName, "a name", "have 1 to 80 characters, something to see, no blanks around it, and no control or format characters",
    r"^\S(.{0,78}\S)?$",
    |t| t.chars().count() <= limits::NAME_CHARS && t.trim() == t && text::is_title(t)
);

/// What a user tells everybody about themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Profile {
    /// The name to show; absent if the user has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<DisplayName>,
    /// Where a picture lies; absent if the user has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub avatar: Option<Address>,
    /// What the application keeps with it; absent if there is nothing.
    #[serde(default, skip_serializing_if = "Data::is_empty")]
    #[schema(required = false)]
    pub data: Data,
}

/// A user as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct User {
    /// The user.
    pub user: UserId,
    /// What they tell about themselves.
    #[serde(flatten)]
    pub profile: Profile,
    /// The version of the profile: of two copies the one with the larger version is the newer. 0 of a user who has none.
    pub version: ProfileVersion,
}

/// How to show a user whom an answer names. [`User`] has more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Face {
    /// The name to show; absent if the user has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<DisplayName>,
    /// Where a picture lies; absent if the user has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub avatar: Option<Address>,
    /// The version of the profile; 0 of a user who has none.
    pub version: ProfileVersion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_shows_something_and_hides_nothing() {
        for good in ["Alice", "Ärger & Söhne", "李", "a", &"ä".repeat(80)] {
            assert!(DisplayName::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", " ", " Alice", "Alice\t", "a\nb", "Admin \u{202e}gnp", "\u{3164}", &"a".repeat(81)] {
            assert!(DisplayName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_profile_is_the_same_text_whatever_order_it_came_in() {
        let read = |text: &str| serde_json::from_str::<Profile>(text).unwrap();
        let one = read(r#"{"data":{"b":1,"a":2},"name":"Alice"}"#);
        let other = read(r#"{"name":"Alice","data":{"a":2,"b":1}}"#);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(text, serde_json::to_string(&other).unwrap());
        assert_eq!(text, r#"{"name":"Alice","data":{"a":2,"b":1}}"#);
        assert_eq!(serde_json::to_string(&Profile::default()).unwrap(), "{}");
    }
}

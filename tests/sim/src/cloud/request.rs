//! What DynamoDB is asked, read straight out of its JSON: whatever the model does not look at is
//! left out, and texts stay where they are.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// A row: attribute names and values.
pub(crate) type Item = BTreeMap<Arc<str>, Attribute>;

/// A value in DynamoDB's JSON. A clone shares its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Attribute {
    S(Arc<str>),
    N(Arc<str>),
    /// Bytes in base 64, as they came.
    B(Arc<str>),
    #[serde(rename = "BOOL")]
    Bool(bool),
    /// A set of such bytes.
    #[serde(rename = "BS")]
    Bs(BTreeSet<Arc<str>>),
    L(Vec<Self>),
    M(BTreeMap<Arc<str>, Self>),
}

impl Attribute {
    /// Its text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::S(text) = self { Some(text) } else { None }
    }

    /// Its digits, if it is a number.
    pub(crate) fn digits(&self) -> Option<&str> {
        if let Self::N(digits) = self { Some(digits) } else { None }
    }
}

/// The key of a row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Key<'a> {
    #[serde(borrow)]
    pk: Text<'a>,
    #[serde(borrow)]
    sk: Text<'a>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Text<'a> {
    #[serde(rename = "S", borrow)]
    text: Cow<'a, str>,
}

impl Key<'_> {
    /// As the table has it.
    pub(crate) fn pair(&self) -> (String, String) {
        (self.pk.text.clone().into_owned(), self.sk.text.clone().into_owned())
    }
}

/// A request of any operation, or a part of one; what an operation has not is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Request<'a> {
    pub(crate) table_name: &'a str,
    #[serde(borrow)]
    pub(crate) key: Option<Key<'a>>,
    pub(crate) item: Item,
    pub(crate) update_expression: &'a str,
    pub(crate) condition_expression: Option<&'a str>,
    pub(crate) key_condition_expression: &'a str,
    pub(crate) filter_expression: Option<&'a str>,
    pub(crate) projection_expression: &'a str,
    pub(crate) expression_attribute_names: BTreeMap<&'a str, &'a str>,
    pub(crate) expression_attribute_values: BTreeMap<&'a str, Attribute>,
    pub(crate) consistent_read: bool,
    pub(crate) select: &'a str,
    pub(crate) limit: Option<usize>,
    pub(crate) scan_index_forward: Option<bool>,
    #[serde(borrow)]
    pub(crate) exclusive_start_key: Option<Key<'a>>,
    #[serde(borrow)]
    pub(crate) keys: Vec<Key<'a>>,
    #[serde(borrow)]
    #[serde(rename = "RequestItems")]
    pub(crate) batches: BTreeMap<&'a str, Self>,
    #[serde(borrow)]
    pub(crate) transact_items: Vec<Action<'a>>,
    pub(crate) client_request_token: &'a str,
    pub(crate) return_values: &'a str,
    pub(crate) return_values_on_condition_check_failure: &'a str,
}

/// A part of a transaction.
#[derive(Debug, Deserialize)]
pub(crate) enum Action<'a> {
    Get(#[serde(borrow)] Request<'a>),
    Put(#[serde(borrow)] Request<'a>),
    Update(#[serde(borrow)] Request<'a>),
    Delete(#[serde(borrow)] Request<'a>),
    ConditionCheck(#[serde(borrow)] Request<'a>),
}

impl<'a> Action<'a> {
    /// What is to be done.
    pub(crate) fn part(&self) -> &Request<'a> {
        match self {
            Self::Get(part)
            | Self::Put(part)
            | Self::Update(part)
            | Self::Delete(part)
            | Self::ConditionCheck(part) => part,
        }
    }
}

impl<'a> Request<'a> {
    /// A request out of its body.
    pub(crate) fn of(body: &'a [u8]) -> Self {
        serde_json::from_slice(body).expect("a request that the model knows")
    }

    /// The key of the row that it is about.
    pub(crate) fn about(&self) -> (String, String) {
        let of_item = |name: &str| self.item[name].text().expect("a key of two strings").to_owned();
        self.key.as_ref().map_or_else(|| (of_item("pk"), of_item("sk")), Key::pair)
    }

    /// The text that an expression's `name` stands for.
    pub(crate) fn text(&self, name: &str) -> &str {
        let value = self.expression_attribute_values.get(name).and_then(Attribute::text);
        value.unwrap_or_else(|| panic!("no `{name}`"))
    }
}

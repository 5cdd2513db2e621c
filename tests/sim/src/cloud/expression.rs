//! DynamoDB's expression language, as far as Runnel speaks it (developer guide, "Condition
//! expressions" and "Update expressions"). Whatever else it meets, it panics: the model is to grow
//! with the code that it judges.

use std::collections::{BTreeMap, BTreeSet};

use super::request::{Attribute, Item, Request};

/// Whether a condition holds of a row, which may be absent.
pub(crate) fn holds(condition: &str, item: Option<&Item>, names: &Request<'_>) -> bool {
    let empty = Item::new();
    let mut parser = Parser { tokens: tokens(condition), at: 0, item: item.unwrap_or(&empty), names };
    let held = parser.any();
    assert_eq!(parser.at, parser.tokens.len(), "unread rest of `{condition}`");
    held
}

/// A row after an update; `key` makes an absent one.
pub(crate) fn updated(update: &str, item: Option<&Item>, key: &Item, names: &Request<'_>) -> Item {
    let before = item.cloned().unwrap_or_else(|| key.clone());
    let mut after = before.clone();
    // Places of lists that go: all at once, in the list as it was.
    let mut gone: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    let mut clause = "";
    let mut parser = Parser { tokens: tokens(update), at: 0, item: &before, names };
    while let Some(token) = parser.peek() {
        match token {
            "SET" | "REMOVE" | "ADD" | "DELETE" => {
                clause = token;
                parser.at += 1;
            }
            "," => parser.at += 1,
            path => {
                let path = path_of(names, path);
                parser.at += 1;
                if matches!(clause, "ADD" | "DELETE") {
                    let set = parser.operand();
                    change_set(&mut after, path, clause == "ADD", set);
                } else if clause == "SET" {
                    parser.expect("=");
                    let value = parser.sum().unwrap_or_else(|| panic!("`{update}` sets an absent value"));
                    after.insert(path.into(), value);
                } else if parser.takes("[") {
                    let place = parser.next().parse().expect("a place of a list");
                    parser.expect("]");
                    gone.entry(path).or_default().insert(place);
                } else {
                    after.remove(path);
                }
            }
        }
    }
    for (path, places) in gone {
        let Some(Attribute::L(list)) = after.get_mut(path) else { continue };
        let kept = std::mem::take(list).into_iter().enumerate().filter(|(place, _)| !places.contains(place));
        *list = kept.map(|(_, value)| value).collect();
    }
    after
}

/// Adds the members of a set to the one at `path`, or takes them from it. An empty set is none.
fn change_set(item: &mut Item, path: &str, adds: bool, set: Option<Attribute>) {
    let Some(Attribute::Bs(members)) = set else { panic!("no set of bytes: {set:?}") };
    let mut all = match item.remove(path) {
        None => BTreeSet::new(),
        Some(Attribute::Bs(all)) => all,
        Some(other) => panic!("`{path}` is no set of bytes: {other:?}"),
    };
    if adds {
        all.extend(members);
    } else {
        all.retain(|member| !members.contains(member));
    }
    if !all.is_empty() {
        item.insert(path.into(), Attribute::Bs(all));
    }
}

/// The attribute that a token names.
fn path_of<'a>(names: &'a Request<'_>, token: &'a str) -> &'a str {
    if token.starts_with('#') { names.expression_attribute_names[token] } else { token }
}

fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || "_:#".contains(c))).unwrap_or(rest.len());
        let length = match word {
            0 if ["<=", ">=", "<>"].iter().any(|two| rest.starts_with(two)) => 2,
            0 => 1,
            word => word,
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    item: &'a Item,
    names: &'a Request<'a>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).copied()
    }

    fn next(&mut self) -> &'a str {
        self.at += 1;
        self.tokens[self.at - 1]
    }

    fn expect(&mut self, token: &str) {
        assert_eq!(self.next(), token);
    }

    fn takes(&mut self, token: &str) -> bool {
        let takes = self.peek() == Some(token);
        self.at += usize::from(takes);
        takes
    }

    fn any(&mut self) -> bool {
        let mut held = self.all();
        while self.takes("OR") {
            held |= self.all();
        }
        held
    }

    fn all(&mut self) -> bool {
        let mut held = self.one();
        while self.takes("AND") {
            held &= self.one();
        }
        held
    }

    fn one(&mut self) -> bool {
        if self.takes("NOT") {
            return !self.one();
        }
        if self.takes("(") {
            let held = self.any();
            self.expect(")");
            return held;
        }
        match self.peek() {
            Some("attribute_exists") => self.has(),
            Some("attribute_not_exists") => !self.has(),
            Some("contains") => {
                let (list, value) = self.two();
                match (list, value) {
                    (Some(Attribute::L(list)), Some(value)) => list.contains(&value),
                    (Some(Attribute::Bs(set)), Some(Attribute::B(bytes))) => set.contains(&bytes),
                    _ => false,
                }
            }
            Some("begins_with") => {
                let (text, prefix) = self.two();
                let (text, prefix) = (text.as_ref(), prefix.as_ref());
                let texts = text.and_then(Attribute::text).zip(prefix.and_then(Attribute::text));
                texts.is_some_and(|(text, prefix)| text.starts_with(prefix))
            }
            _ => self.compared(),
        }
    }

    fn has(&mut self) -> bool {
        self.at += 1;
        self.expect("(");
        let path = path_of(self.names, self.next());
        self.expect(")");
        self.item.contains_key(path)
    }

    fn two(&mut self) -> (Option<Attribute>, Option<Attribute>) {
        self.at += 1;
        self.expect("(");
        let first = self.operand();
        self.expect(",");
        let second = self.operand();
        self.expect(")");
        (first, second)
    }

    fn compared(&mut self) -> bool {
        let left = self.operand();
        let operator = self.next();
        let right = self.operand();
        if operator == "BETWEEN" {
            self.expect("AND");
            let most = self.operand();
            return order(left.as_ref(), right.as_ref()).is_some_and(|o| o.is_ge())
                && order(left.as_ref(), most.as_ref()).is_some_and(|o| o.is_le());
        }
        let Some(order) = order(left.as_ref(), right.as_ref()) else { return false };
        match operator {
            "=" => order.is_eq(),
            "<>" => order.is_ne(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            other => panic!("no operator `{other}`"),
        }
    }

    /// An operand, or the sum of two.
    fn sum(&mut self) -> Option<Attribute> {
        let first = self.operand();
        if !self.takes("+") {
            return first;
        }
        let number = |value: Option<Attribute>| -> Option<i128> { value?.digits()?.parse().ok() };
        let sum = number(first)? + number(self.operand())?;
        Some(Attribute::N(sum.to_string().into()))
    }

    fn operand(&mut self) -> Option<Attribute> {
        match self.next() {
            "if_not_exists" => {
                self.at -= 1;
                let (there, otherwise) = self.two();
                there.or(otherwise)
            }
            "list_append" => {
                self.at -= 1;
                match self.two() {
                    (Some(Attribute::L(first)), Some(Attribute::L(second))) => {
                        Some(Attribute::L([first, second].concat()))
                    }
                    other => panic!("no lists to append: {other:?}"),
                }
            }
            "size" => {
                self.expect("(");
                let path = path_of(self.names, self.next());
                self.expect(")");
                let size = match self.item.get(path)? {
                    Attribute::L(list) => list.len(),
                    Attribute::Bs(set) => set.len(),
                    other => panic!("the size of a list or a set only: {other:?}"),
                };
                Some(Attribute::N(size.to_string().into()))
            }
            token if token.starts_with(':') => {
                let value = self.names.expression_attribute_values.get(token);
                Some(value.unwrap_or_else(|| panic!("no value `{token}`")).clone())
            }
            token => self.item.get(path_of(self.names, token)).cloned(),
        }
    }
}

/// How two values of one type compare; nothing, where one is absent or of another type.
fn order(left: Option<&Attribute>, right: Option<&Attribute>) -> Option<std::cmp::Ordering> {
    let number = |digits: &str| digits.parse::<i128>().expect("whole numbers only");
    match (left?, right?) {
        (Attribute::N(a), Attribute::N(b)) => Some(number(a).cmp(&number(b))),
        (Attribute::S(a), Attribute::S(b)) => Some(a.cmp(b)),
        (Attribute::Bool(a), Attribute::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(pairs: &[(&str, i64)]) -> Item {
        pairs.iter().map(|(name, n)| ((*name).into(), Attribute::N(n.to_string().into()))).collect()
    }

    #[test]
    fn conditions_hold_as_dynamodb_says() {
        let names = Request::of(br#"{"ExpressionAttributeValues": {":a": {"N": "10"}, ":b": {"N": "9"}}}"#);
        let row = item(&[("x", 10), ("y", 9)]);
        for (condition, expected) in [
            ("x = :a", true),
            ("x < :b", false),
            ("x = :b OR y = :b", true),
            ("x = :b OR y = :b AND x = :b", false),
            ("(x = :b OR y = :b) AND x = :a", true),
            ("attribute_not_exists(z) AND NOT attribute_exists(z)", true),
            ("z = :a", false),
            ("x BETWEEN :b AND :a", true),
        ] {
            assert_eq!(holds(condition, Some(&row), &names), expected, "{condition}");
        }
        assert!(holds("attribute_not_exists(x)", None, &names));
        assert!(!holds("x >= :b", None, &names));
    }

    #[test]
    fn a_list_grows_at_its_end_is_searched_and_loses_places() {
        let names = Request::of(
            br#"{"ExpressionAttributeValues": {":none": {"L": []}, ":more": {"L": [{"B": "eA=="}, {"B": "eQ=="}]},
                ":x": {"B": "eA=="}, ":z": {"B": "eg=="}, ":two": {"N": "2"}, ":zero": {"N": "0"}}}"#,
        );
        let update =
            "SET list = list_append(if_not_exists(list, :none), :more), n = if_not_exists(n, :zero) + :two";
        let once = updated(update, None, &Item::new(), &names);
        let twice = updated(update, Some(&once), &Item::new(), &names);
        let length = |item: &Item| match &item["list"] {
            Attribute::L(list) => list.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!((length(&once), length(&twice), twice["n"].digits()), (2, 4, Some("4")));
        assert!(holds("contains(list, :x) AND NOT contains(list, :z)", Some(&once), &names));
        assert!(!holds("contains(list, :x)", None, &names));
        assert!(holds("attribute_not_exists(list) OR size(list) < :two", None, &names));
        assert!(!holds("attribute_not_exists(list) OR size(list) < :two", Some(&once), &names));
        let cut =
            updated("SET n = :zero REMOVE list[0], list[1], list[2]", Some(&twice), &Item::new(), &names);
        assert_eq!(cut["list"], Attribute::L(vec![Attribute::B("eQ==".into())]));
    }

    #[test]
    fn a_set_grows_shrinks_and_is_gone_when_it_is_empty() {
        let names = Request::of(
            br#"{"ExpressionAttributeValues": {":two": {"BS": ["eA==", "eQ=="]}, ":one": {"BS": ["eA=="]},
                ":x": {"B": "eA=="}, ":max": {"N": "2"}}}"#,
        );
        let both = updated("ADD set :two", None, &Item::new(), &names);
        assert_eq!(updated("ADD set :one", Some(&both), &Item::new(), &names), both);
        assert!(holds("contains(set, :x) AND NOT size(set) < :max", Some(&both), &names));
        let one = updated("DELETE set :one", Some(&both), &Item::new(), &names);
        assert!(holds("NOT contains(set, :x) AND size(set) < :max", Some(&one), &names));
        assert_eq!(updated("DELETE set :two", Some(&one), &Item::new(), &names), Item::new());
    }

    #[test]
    fn updates_set_and_remove() {
        let names = Request::of(
            br##"{"ExpressionAttributeValues": {":a": {"N": "1"}, ":b": {"N": "2"}},
                "ExpressionAttributeNames": {"#at": "at"}}"##,
        );
        let update = "SET #at = :a, x = if_not_exists(x, :b), y = if_not_exists(y, :b) REMOVE z";
        let after = updated(update, Some(&item(&[("x", 7), ("z", 8)])), &Item::new(), &names);
        assert_eq!(after, item(&[("at", 1), ("x", 7), ("y", 2)]));
    }
}

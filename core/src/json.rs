//! Reads a strict JSON object.
//!
//! Strict means UTF-8, nothing after the object, no duplicate name in any object at any depth (RFC
//! 8725 §2.4, RFC 7515 §5.2), no lone surrogates, limited nesting and a limited number of members.
//! Numbers of the outermost object stay text. A NumericDate that is out of range is therefore a bad
//! claim, not a parse error, and an integer is read without rounding.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A JSON object, with its members sorted by name.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// The value of a member or of a list element.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as text.
    Number(&'a str),
    /// A string.
    Text(Cow<'a, str>),
    /// A list.
    List(List<'a>),
    /// An object.
    Object(Nested<'a>),
}

/// A list whose syntax has been checked.
#[derive(Clone, Debug)]
pub struct List<'a>(&'a str);

/// An object inside another value, whose syntax has been checked.
#[derive(Clone, Debug)]
pub struct Nested<'a>(&'a str);

/// Returns the bytes as text if they are UTF-8 and begin with `{`, so that serde can only parse an
/// object. On its own, serde also accepts a list in place of an object, and invalid UTF-8 in
/// strings that it skips (RFC 8259 §8.1).
pub(crate) fn object_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.trim_ascii_start().starts_with('{'))
}

impl<'a> Object<'a> {
    /// Reads an object. Returns `None` if the bytes are not a strict object.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let Members(mut members) = serde_json::from_str(text).ok()?;
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let no_name_twice = members.is_sorted_by(|a, b| a.0 < b.0);
        no_name_twice.then_some(Self { members })
    }

    /// Returns the names of all members, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| &**name)
    }

    /// Returns the value of the member with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.members.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.members.get(at).map(|(_, value)| value)
    }

    /// Returns the value of the member with the last of these names, inside the objects with the
    /// names before it.
    #[must_use]
    pub fn find_at(&self, path: &[String]) -> Option<Value<'a>> {
        let (name, rest) = path.split_first()?;
        match (self.find(name)?, rest) {
            (value, []) => Some(value.clone()),
            (Value::Object(nested), rest) => nested.object()?.find_at(rest),
            _ => None,
        }
    }
}

impl<'a> Value<'a> {
    /// Reads one value. serde_json has already checked its grammar.
    fn read(text: &'a str) -> Option<Self> {
        Some(match text.as_bytes().first()? {
            b'n' => Self::Null,
            b't' => Self::Bool(true),
            b'f' => Self::Bool(false),
            b'"' => {
                let Text(text) = serde_json::from_str(text).ok()?;
                Self::Text(text)
            }
            b'[' => {
                check(text)?;
                Self::List(List(text))
            }
            b'{' => {
                check(text)?;
                Self::Object(Nested(text))
            }
            _ => Self::Number(text),
        })
    }
}

impl<'a> Nested<'a> {
    /// Parses the object.
    #[must_use]
    pub fn object(&self) -> Option<Object<'a>> {
        Object::parse(self.0.as_bytes())
    }
}

impl<'a> List<'a> {
    /// Parses the elements.
    #[must_use]
    pub fn elements(&self) -> Option<Vec<Value<'a>>> {
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        elements.into_iter().map(|element| Value::read(element.get())).collect()
    }
}

/// A string, borrowed if it contains no escape.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object, in their order in the text.
struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(USUAL_MEMBERS);
                while let Some((Text(name), value)) = map.next_entry::<_, &RawValue>()? {
                    if members.len() == MEMBERS_LIMIT {
                        return Err(A::Error::custom("too many members"));
                    }
                    let value =
                        Value::read(value.get()).ok_or_else(|| A::Error::custom("value"))?;
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Checks a list or an object inside the outermost object.
fn check(text: &str) -> Option<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Checked { levels_left: NESTING_LIMIT }.deserialize(&mut deserializer).ok()
}

/// A visitor that discards the value that it reads, and fails if the value is not strict.
#[derive(Clone, Copy)]
struct Checked {
    levels_left: usize,
}

impl Checked {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Self { levels_left }),
            None => Err(E::custom("too deep")),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let element = self.deeper()?;
        while elements.next_element_seed(element)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let value = self.deeper()?;
        let mut names: Vec<Cow<'de, str>> = Vec::new();
        while let Some(Text(name)) = map.next_key()? {
            map.next_value_seed(value)?;
            names.push(name);
        }
        names.sort_unstable();
        if names.len() <= MEMBERS_LIMIT && names.is_sorted_by(|a, b| a < b) {
            Ok(())
        } else {
            Err(A::Error::custom("too many members, or a name twice"))
        }
    }
}

/// The most members of one object.
const MEMBERS_LIMIT: usize = 256;

/// The most members of most tokens.
const USUAL_MEMBERS: usize = 12;

/// The most levels of lists and objects below the outermost object. Usual tokens have three.
const NESTING_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_strict(text: impl AsRef<[u8]>) -> bool {
        Object::parse(text.as_ref()).is_some()
    }

    #[test]
    fn only_utf_8_that_begins_with_a_brace_is_accepted() {
        assert_eq!(object_text(b" \r\n{\"a\":1}"), Some(" \r\n{\"a\":1}"));
        for other in [&b"[]"[..], b"", b"\"{\"", b"{\"a\":\"\xba\"}", b"\xef\xbb\xbf{}"] {
            assert_eq!(object_text(other), None, "{other:?}");
        }
    }

    #[test]
    fn an_object_is_read_strictly() {
        let nested = |levels| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let deep_objects = |levels: usize| "{\"a\":".repeat(levels) + "0" + &"}".repeat(levels);
        let members = |count: usize| {
            let members: Vec<_> = (0..count).map(|i| format!("\"{i}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let inside = |object: String| format!("{{\"a\":[{object}]}}");
        // Each refusal beside the neighbour that is accepted.
        let cases: &[(String, bool)] = &[
            ("{}".into(), true),
            (" {\t} \r\n".into(), true),
            ("".into(), false),
            ("null".into(), false),
            ("[]".into(), false),
            ("\"a\"".into(), false),
            ("{} {}".into(), false),
            ("{}x".into(), false),
            ("\u{feff}{}".into(), false),
            ("\u{a0}{}".into(), false),
            (r#"{"a":1,"b":1}"#.into(), true),
            (r#"{"a":1,"a":1}"#.into(), false),
            (r#"{"a":1,"\u0061":1}"#.into(), false),
            (r#"{"a":1,"b":2,"a":3}"#.into(), false),
            (r#"{"x":{"a":1},"y":{"a":1}}"#.into(), true),
            (r#"{"x":{"a":1,"a":1}}"#.into(), false),
            (r#"{"x":[[{"a":1,"\u0061":1}]]}"#.into(), false),
            (r#"{"a":1,}"#.into(), false),
            (r#"{'a':1}"#.into(), false),
            (r#"{a:1}"#.into(), false),
            (r#"{"a":01}"#.into(), false),
            (r#"{"a":+1}"#.into(), false),
            (r#"{"a":.5}"#.into(), false),
            (r#"{"a":NaN}"#.into(), false),
            (r#"{"a":1}//"#.into(), false),
            (r#"{"a":"\ud83d\ude00"}"#.into(), true),
            (r#"{"a":"\ud83d"}"#.into(), false),
            (r#"{"\ud83d":1}"#.into(), false),
            (r#"{"a":["\ud83d"]}"#.into(), false),
            (r#"{"a":{"\ud83d":1}}"#.into(), false),
            ("{\"a\":\"\u{1}\"}".into(), false),
            (r#"{"a":1e400}"#.into(), true), // a valid number; the claim check rejects it as a time
            (nested(NESTING_LIMIT), true),
            (nested(NESTING_LIMIT + 1), false),
            (nested(3_000), false),
            (deep_objects(NESTING_LIMIT + 1), true),
            (deep_objects(NESTING_LIMIT + 2), false),
            (members(MEMBERS_LIMIT), true),
            (members(MEMBERS_LIMIT + 1), false),
            (inside(members(MEMBERS_LIMIT)), true),
            (inside(members(MEMBERS_LIMIT + 1)), false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_strict(text), *expected, "{text}");
        }
        assert!(!is_strict(b"{\"a\":\"\xff\"}"));
        assert!(!is_strict(b"{\"a\":\"\xc0\x80\"}"));
        assert!(!is_strict(b"{\"a\":1}\0"));
    }

    #[test]
    fn members_are_found_by_their_unescaped_name() {
        let text =
            r#"{"z":null,"\u0062":1.50,"a":"\u0041","l":[true,"x"],"o":{"y":1,"x":null},"":false}"#;
        let object = Object::parse(text.as_bytes()).expect("strict");
        assert!(matches!(object.find("z"), Some(Value::Null)));
        assert!(matches!(object.find("b"), Some(Value::Number("1.50"))));
        assert!(matches!(object.find("a"), Some(Value::Text(text)) if text == "A"));
        let Some(Value::Object(nested)) = object.find("o") else { panic!("an object") };
        let nested = nested.object().expect("strict");
        assert!(matches!(nested.find("x"), Some(Value::Null)));
        assert_eq!(nested.names().collect::<Vec<_>>(), ["x", "y"]);
        assert!(matches!(object.find(""), Some(Value::Bool(false))));
        assert!(object.find("c").is_none());
        let Some(Value::List(list)) = object.find("l") else { panic!("a list") };
        let elements = list.elements().expect("strict");
        assert!(matches!(&elements[..], [Value::Bool(true), Value::Text(text)] if text == "x"));
    }

    #[test]
    fn a_path_leads_through_objects_only() {
        let text = r#"{"a":{"b":{"c":1},"l":[{"c":2}],"t":"{\"c\":3}"},"a.b":4,"b":5}"#;
        let object = Object::parse(text.as_bytes()).expect("strict");
        let find = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|&name| name.to_owned()).collect();
            match object.find_at(&path) {
                Some(Value::Number(number)) => number.to_owned(),
                Some(_) => "other".to_owned(),
                None => "none".to_owned(),
            }
        };
        for (path, expected) in [
            (&["a", "b", "c"][..], "1"),
            (&["a", "b"], "other"),
            (&["a.b"], "4"),
            (&["b"], "5"),
            (&["a", "l", "c"], "none"),
            (&["a", "l", "0"], "none"),
            (&["a", "t", "c"], "none"),
            (&["a", "b", "c", "d"], "none"),
            (&["x", "b"], "none"),
            (&[], "none"),
        ] {
            assert_eq!(find(path), expected, "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Object::parse(&bytes);
        }

        #[test]
        fn the_reader_agrees_with_serde_json(text in "[{}\\[\\]\",:a\\\\u0061d8e1. tnl-]{0,40}") {
            if let Some(object) = Object::parse(text.as_bytes()) {
                let known: Option<serde_json::Map<String, serde_json::Value>> =
                    serde_json::from_str(&text).ok();
                // Numbers out of range are the only input that this parser accepts and serde_json
                // does not.
                if let Some(known) = known {
                    prop_assert_eq!(known.len(), object.members.len());
                    prop_assert!(known.keys().all(|name| object.find(name).is_some()));
                } else {
                    prop_assert!(text.contains('e'));
                }
            }
        }
    }
}

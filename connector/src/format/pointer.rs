//! A JSON pointer (RFC 6901) into a value, and the scalar it points to.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most steps of a pointer.
const MOST_STEPS: usize = 32;

/// `/customer/id`: a path into a JSON object, at least one step long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    steps: Vec<String>,
}

/// Why a text is not a pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PointerError {
    /// It does not begin with a slash.
    #[error("a JSON pointer begins with \"/\"")]
    NoSlash,
    /// `~` is followed by neither 0 nor 1.
    #[error("in a JSON pointer \"~\" is written \"~0\", and \"/\" in a name \"~1\"")]
    Tilde,
    /// It is longer than any value of use.
    #[error("a JSON pointer has at most {MOST_STEPS} steps here")]
    Long,
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        let path = text.strip_prefix('/').ok_or(PointerError::NoSlash)?;
        let step = |step: &str| {
            let rest = step.replace("~0", "").replace("~1", "");
            if rest.contains('~') { Err(PointerError::Tilde) } else { Ok(step.replace("~1", "/").replace("~0", "~")) }
        };
        let steps = path.split('/').map(step).collect::<Result<Vec<_>, _>>()?;
        if steps.len() > MOST_STEPS {
            return Err(PointerError::Long);
        }
        Ok(Self { text: text.to_owned(), steps })
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Pointer {
    /// The text of the scalar that it points to: of a string its characters, of a number its digits as they stand, `true` or
    /// `false`. `None` if there is nothing, `null`, an object or an array. Of several members of the same name the last counts.
    /// Allocates only for a string with escapes.
    pub fn scalar<'a>(&self, value: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut json = serde_json::Deserializer::from_slice(value);
        let raw = Walk(&self.steps).deserialize(&mut json).ok()??.get();
        match raw.as_bytes() {
            [b'{' | b'[' | b'n', ..] | [] => None,
            [b'"', inner @ .., b'"'] if !inner.contains(&b'\\') => Some(Cow::Borrowed(inner)),
            [b'"', ..] => Some(Cow::Owned(serde_json::from_str::<String>(raw).ok()?.into_bytes())),
            scalar => Some(Cow::Borrowed(scalar)),
        }
    }
}

/// Goes down the steps that are left.
struct Walk<'p>(&'p [String]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        match self.0 {
            [] => <&RawValue as serde::Deserialize>::deserialize(from).map(Some),
            _ => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = map.next_key_seed(IsName(self.0.first()))? {
            if is_it {
                found = map.next_value_seed(Walk(self.0.get(1..).unwrap_or_default()))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let index = self.0.first().and_then(|step| step.parse::<usize>().ok());
        let (mut found, mut at) = (None, 0);
        loop {
            if Some(at) == index {
                match seq.next_element_seed(Walk(self.0.get(1..).unwrap_or_default()))? {
                    Some(element) => found = element,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            at += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// Compares a member's name without keeping it.
struct IsName<'p>(Option<&'p String>);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(self.0.is_some_and(|wanted| wanted == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(pointer: &str, value: &str) -> Option<String> {
        let found = pointer.parse::<Pointer>().unwrap().scalar(value.as_bytes())?.into_owned();
        Some(String::from_utf8(found).unwrap())
    }

    #[test]
    fn a_pointer_finds_scalars_as_they_stand() {
        let value = r#"{"id": 42, "price":1.10,"big":9007199254740993123, "in":{"a/b":"x","~":"t","":"e"},
            "list":[10,{"n":"deep"}],"名":"张","yes":true,"esc":"a\u0062\n"}"#;
        for (pointer, found) in [
            ("/id", "42"),
            ("/price", "1.10"),
            ("/big", "9007199254740993123"),
            ("/in/a~1b", "x"),
            ("/in/~0", "t"),
            ("/in/", "e"),
            ("/list/0", "10"),
            ("/list/1/n", "deep"),
            ("/名", "张"),
            ("/yes", "true"),
            ("/esc", "ab\n"),
        ] {
            assert_eq!(scalar(pointer, value).as_deref(), Some(found), "{pointer}");
        }
    }

    #[test]
    fn what_is_not_a_scalar_is_not_found() {
        let value = r#"{"a":null,"b":{},"c":[1],"d":"text","e":1.5}"#;
        for pointer in ["/a", "/b", "/c", "/none", "/d/x", "/e/0", "/c/1", "/c/-1", "/c/x"] {
            assert_eq!(scalar(pointer, value), None, "{pointer}");
        }
        assert_eq!(scalar("/a", r#"{"a":1,"a":"last"}"#).as_deref(), Some("last"));
        assert_eq!(scalar("/a", "not json"), None);
    }

    #[test]
    fn a_wrong_pointer_is_refused_with_the_reason() {
        assert_eq!("id".parse::<Pointer>(), Err(PointerError::NoSlash));
        assert_eq!("".parse::<Pointer>(), Err(PointerError::NoSlash));
        assert_eq!("/a~2".parse::<Pointer>(), Err(PointerError::Tilde));
        assert_eq!("/a".repeat(MOST_STEPS + 1).parse::<Pointer>(), Err(PointerError::Long));
        assert_eq!("/a/b".parse::<Pointer>().unwrap().to_string(), "/a/b");
    }
}

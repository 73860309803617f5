//! Parses settings that may be written in more than one form.
//!
//! [`Names`] may be one name or several; [`PerClaim`] is an object by claim, or a list of objects
//! if a claim needs a path.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One name, or a list of names.
pub(super) struct Names(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name or a list of names")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names(vec![name.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Names, A::Error> {
                let mut names = vec![];
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// A value for each of several claims, in the order written. It is written as an object whose names
/// are claims, or as a list of objects, each with `claim` and one more member. Only in the list can
/// a claim be a path.
pub(super) struct PerClaim<E: OfClaim>(pub(super) Vec<(Names, E::Value)>);

/// One element of the list of a [`PerClaim`].
pub(super) trait OfClaim {
    /// The value for the claim.
    type Value;

    fn into_pair(self) -> (Names, Self::Value);
}

/// `{"claim": …, "header": …}`
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimHeader {
    claim: Names,
    header: String,
}

impl OfClaim for ClaimHeader {
    type Value = String;

    fn into_pair(self) -> (Names, String) {
        (self.claim, self.header)
    }
}

/// `{"claim": …, "values": […]}`
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(super) struct ClaimValues {
    claim: Names,
    values: Vec<String>,
}

impl OfClaim for ClaimValues {
    type Value = Vec<String>;

    fn into_pair(self) -> (Names, Vec<String>) {
        (self.claim, self.values)
    }
}

impl<E: OfClaim> Default for PerClaim<E> {
    fn default() -> Self {
        Self(vec![])
    }
}

impl<'de, E> Deserialize<'de> for PerClaim<E>
where
    E: OfClaim + Deserialize<'de>,
    E::Value: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOrList<E>(PhantomData<E>);
        impl<'de, E> Visitor<'de> for ObjectOrList<E>
        where
            E: OfClaim + Deserialize<'de>,
            E::Value: Deserialize<'de>,
        {
            type Value = PerClaim<E>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object by claim or a list of objects with `claim`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerClaim<E>, A::Error> {
                let mut all = PerClaim::default();
                while let Some((name, value)) = map.next_entry()? {
                    all.push(Names(vec![name]), value)?;
                }
                Ok(all)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PerClaim<E>, A::Error> {
                let mut all = PerClaim::default();
                while let Some(element) = list.next_element::<E>()? {
                    let (claim, value) = element.into_pair();
                    all.push(claim, value)?;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_any(ObjectOrList(PhantomData))
    }
}

impl<E: OfClaim> PerClaim<E> {
    /// Adds a claim. A claim that comes twice is an error, as it is in an object with known names.
    fn push<Err: Error>(&mut self, claim: Names, value: E::Value) -> Result<(), Err> {
        if self.0.iter().any(|(Names(known), _)| *known == claim.0) {
            return Err(Err::custom("a claim comes twice"));
        }
        self.0.push((claim, value));
        Ok(())
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    impl JsonSchema for super::Names {
        fn schema_name() -> Cow<'static, str> {
            "Names".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1}
            ]})
        }
    }

    impl<E> JsonSchema for super::PerClaim<E>
    where
        E: super::OfClaim + JsonSchema,
        E::Value: JsonSchema,
    {
        fn schema_name() -> Cow<'static, str> {
            format!("PerClaim{}", E::schema_name()).into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let value = generator.subschema_for::<E::Value>();
            let element = generator.subschema_for::<E>();
            json_schema!({"anyOf": [
                {"type": "object", "additionalProperties": value},
                {"type": "array", "items": element}
            ]})
        }
    }
}

//! The JSON of version 2, as far as it is needed.
//!
//! LUKS2 On-Disk Format Specification 1.1, section 3. Only the members that are needed are kept, so that the size of
//! the text bounds the memory; numbers of 64 bits are strings there. A name that occurs twice is an error: readers
//! differ in which of the two they take.

use super::defect::Defect;
use crate::bytes::text::escape_limited;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// A member whose value does not matter.
pub(super) type Anything = serde::de::IgnoredAny;

#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(deserialize_with = "unique")]
    pub(super) keyslots: BTreeMap<String, Keyslot>,
    #[serde(deserialize_with = "unique")]
    pub(super) segments: BTreeMap<String, Segment>,
    #[serde(deserialize_with = "unique")]
    pub(super) digests: BTreeMap<String, Digest>,
    pub(super) config: Config,
    #[serde(default, deserialize_with = "unique")]
    pub(super) tokens: BTreeMap<String, Token>,
}

#[derive(Deserialize)]
pub(super) struct Keyslot {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) key_size: u64,
    pub(super) priority: Option<u64>,
    pub(super) af: Option<Split>,
    pub(super) area: Area,
    pub(super) kdf: Option<Kdf>,
}

#[derive(Deserialize)]
pub(super) struct Split {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) stripes: u32,
    pub(super) hash: String,
}

#[derive(Deserialize)]
pub(super) struct Area {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: Option<String>,
    pub(super) size: Option<String>,
    pub(super) encryption: Option<String>,
    pub(super) key_size: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Kdf {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) salt: String,
    pub(super) hash: Option<String>,
    pub(super) iterations: Option<u32>,
    pub(super) time: Option<u32>,
    pub(super) memory: Option<u32>,
    pub(super) cpus: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Segment {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: String,
    pub(super) size: String,
    pub(super) iv_tweak: Option<String>,
    pub(super) encryption: Option<String>,
    pub(super) sector_size: Option<u64>,
    pub(super) integrity: Option<Anything>,
    #[serde(default)]
    pub(super) flags: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Digest {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) keyslots: Vec<String>,
    pub(super) segments: Vec<String>,
    pub(super) salt: String,
    #[serde(rename = "digest")]
    pub(super) value: String,
    pub(super) hash: Option<String>,
    pub(super) iterations: Option<u32>,
}

#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) requirements: Option<Requirements>,
}

#[derive(Deserialize)]
pub(super) struct Requirements {
    #[serde(default)]
    pub(super) mandatory: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct Token {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) keyslots: Vec<String>,
}

/// Parses the text.
///
/// # Errors
/// [`Defect::Json`].
pub(super) fn parse(text: &[u8]) -> Result<Document, Defect> {
    let parsed = serde_json::from_slice(text);
    parsed.map_err(|error| Defect::Json(escape_limited(error.to_string().as_bytes(), 200)))
}

/// An object in which no name occurs twice.
fn unique<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    source: D,
) -> Result<BTreeMap<String, T>, D::Error> {
    source.deserialize_map(Unique(PhantomData))
}

struct Unique<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Unique<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut source: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some((name, value)) = source.next_entry::<String, T>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom(format!("the name {name:?} occurs twice")));
            }
            map.insert(name, value);
        }
        Ok(map)
    }
}

//! The index as JSON has it: what of it is read.

use std::fmt;

use bagit::{Algorithm, AlgorithmSet, Digests, Version};
use d1_model::{Checksum, Identifier};
use oci_model::Digest;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::file_list::{FileList, KeepFiles};
use super::{BagRecord, Place};
use crate::ObjectFacts;

/// An index that was read and not checked; `K` is what is kept of its files.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound = "K: KeepFiles")]
pub(super) struct IndexDocument<K> {
    pub(super) schema_version: u64,
    pub(super) media_type: Option<String>,
    pub(super) directory: Box<str>,
    pub(super) bag: Option<BagDocument>,
    pub(super) identifier: Option<Identifier>,
    pub(super) resource_map: Option<Identifier>,
    pub(super) layers: Vec<LayerDocument>,
    pub(super) files: FileList<K>,
    #[serde(default)]
    pub(super) empty_directories: Vec<Box<str>>,
}

#[derive(Deserialize)]
pub(super) struct BagDocument {
    #[serde(deserialize_with = "parsed")]
    version: Version,
    /// Names that are not known are skipped.
    algorithms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerDocument {
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) kind: KindDocument,
    pub(super) tar_digest: Option<Digest>,
    pub(super) tar_size: Option<u64>,
    pub(super) encoder: Option<Box<str>>,
    /// Compressed and inflated length of each member.
    pub(super) members: Option<Vec<(u64, u64)>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum KindDocument {
    Archive,
    Object,
    Part,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileDocument {
    pub(super) path: Box<str>,
    pub(super) size: u64,
    sha256: Sha256Text,
    #[serde(default, deserialize_with = "digests")]
    checksums: Digests,
    identifier: Option<Identifier>,
    format_id: Option<Box<str>>,
    #[serde(default, deserialize_with = "parsed_option")]
    declared_checksum: Option<Checksum>,
    system_metadata: Option<Box<str>>,
    layer: Option<u32>,
    offset: Option<u64>,
    parts: Option<Vec<u32>>,
}

impl From<BagDocument> for BagRecord {
    fn from(document: BagDocument) -> Self {
        let known = document.algorithms.iter().filter_map(|name| algorithm(name));
        Self { version: document.version, algorithms: known.collect::<AlgorithmSet>() }
    }
}

impl FileDocument {
    pub(super) fn place(&self) -> Option<Place> {
        match (self.layer, self.offset, self.parts.as_deref()) {
            (Some(layer), Some(offset), None) => Some(Place::Archive { layer, offset }),
            (Some(layer), None, None) => Some(Place::Object { layer }),
            (None, None, Some([first, others @ ..])) => {
                let count = u32::try_from(others.len()).ok()?.checked_add(1)?;
                let expected = (*first..=u32::MAX).skip(1);
                others
                    .iter()
                    .copied()
                    .eq(expected.take(others.len()))
                    .then_some(Place::Parts { first: *first, count })
            }
            _ => None,
        }
    }

    pub(super) fn sha256(&self) -> &[u8; 32] {
        &self.sha256.0
    }

    /// Returns all digests, SHA-256 among them.
    pub(super) fn digests(&self) -> Digests {
        let mut digests = self.checksums.clone();
        digests.insert(Algorithm::Sha256, &self.sha256.0);
        digests
    }

    pub(super) fn into_object(self) -> Option<ObjectFacts> {
        let object = ObjectFacts {
            identifier: self.identifier,
            format_id: self.format_id,
            declared_checksum: self.declared_checksum,
            system_metadata: self.system_metadata,
        };
        (object != ObjectFacts::default()).then_some(object)
    }
}

struct Sha256Text([u8; 32]);

impl<'de> Deserialize<'de> for Sha256Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; 32];
        deserializer.deserialize_str(HexInto(&mut bytes))?;
        Ok(Self(bytes))
    }
}

/// Reads lower-case hexadecimal digits that fill a buffer.
struct HexInto<'a>(&'a mut [u8]);

impl Visitor<'_> for HexInto<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} lower-case hexadecimal digits", 2 * self.0.len())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        if is_lower && hex::decode_to_slice(text, self.0).is_ok() {
            return Ok(());
        }
        Err(E::custom(format_args!("expected {} lower-case hexadecimal digits", 2 * self.0.len())))
    }
}

impl<'de> DeserializeSeed<'de> for HexInto<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// Reads `{"md5":"…"}`; algorithms that are not known are skipped.
fn digests<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digests, D::Error> {
    struct Checksums;
    impl<'de> Visitor<'de> for Checksums {
        type Value = Digests;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("checksums by the names of their algorithms")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Digests, A::Error> {
            let mut digests = Digests::new();
            while let Some(name) = map.next_key::<String>()? {
                let Some(algorithm) = algorithm(&name) else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                if digests.get(algorithm).is_some() {
                    return Err(A::Error::custom(format_args!("checksum `{name}` comes twice")));
                }
                let mut bytes = [0; 64];
                let bytes = bytes.get_mut(..algorithm.digest_length()).unwrap_or_default();
                map.next_value_seed(HexInto(bytes))?;
                digests.insert(algorithm, bytes);
            }
            Ok(digests)
        }
    }
    deserializer.deserialize_map(Checksums)
}

/// Finds an algorithm by exactly its name.
fn algorithm(name: &str) -> Option<Algorithm> {
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name)
}

fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

//! Finding the part of a metadata document that describes a file.

use std::collections::HashMap;

use d1_catalog::CatalogFile;
use d1_catalog::d1_metadata::{Entity, ScienceMetadata};

/// The sign by which a description was recognised, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sign {
    Identifier,
    Checksum,
    FileName,
}

impl Sign {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Identifier => "its identifier",
            Self::Checksum => "its checksum",
            Self::FileName => "its file name",
        }
    }
}

/// The entities of a document by their signs.
pub(super) struct Entities<'a> {
    by_identifier: HashMap<String, &'a Entity>,
    by_checksum: HashMap<String, &'a Entity>,
    /// `None` for a name that several entities have.
    by_name: HashMap<&'a str, Option<&'a Entity>>,
}

impl<'a> Entities<'a> {
    pub(super) fn of(document: &'a ScienceMetadata) -> Self {
        let mut found =
            Self { by_identifier: HashMap::new(), by_checksum: HashMap::new(), by_name: HashMap::new() };
        for entity in &document.entities {
            for text in entity.id.iter().chain(entity.url.as_deref().and_then(last_segment).as_ref()) {
                found.by_identifier.entry(plain(text)).or_insert(entity);
            }
            if let Some((_, checksum)) = &entity.checksum {
                found.by_checksum.entry(checksum.trim().to_ascii_lowercase()).or_insert(entity);
            }
            let names = [entity.object_name.as_deref(), entity.name.as_deref()];
            let last = if names[0] == names[1] { None } else { names[1] };
            for name in names[0].into_iter().chain(last) {
                found.by_name.entry(name).and_modify(|known| *known = None).or_insert(Some(entity));
            }
        }
        found
    }

    /// Returns the entity that describes a file, and the sign that says so.
    pub(super) fn find(&self, file: &CatalogFile) -> Option<(&'a Entity, Sign)> {
        if let Some(found) = file.pid.as_deref().and_then(|pid| self.by_identifier.get(&plain(pid))) {
            return Some((found, Sign::Identifier));
        }
        let mut checksums = file.digests.iter().map(|(_, digest)| hex::encode(digest));
        if let Some(found) = checksums.find_map(|checksum| self.by_checksum.get(&checksum)) {
            return Some((found, Sign::Checksum));
        }
        self.by_name.get(file.name()).copied().flatten().map(|found| (found, Sign::FileName))
    }
}

/// Returns an identifier as XML identifiers write it: other signs than letters and digits are hyphens.
fn plain(identifier: &str) -> String {
    identifier
        .trim()
        .chars()
        .map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect()
}

/// Returns the decoded last segment of a URL, which often is an identifier.
fn last_segment(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.trim().split(['?', '#']).next()?;
    let segment = path.trim_end_matches('/').rsplit('/').next().filter(|segment| !segment.is_empty())?;
    d1_model::decode_path_segment(segment).ok()
}

#[cfg(test)]
mod tests {
    use super::{last_segment, plain};

    #[test]
    fn identifiers_are_compared_as_xml_writes_them() {
        assert_eq!(plain("urn:uuid:AB-1"), plain("urn-uuid-ab-1"));
        let url = "https://cn.dataone.org/cn/v2/resolve/urn%3Auuid%3A1";
        assert_eq!(last_segment(url).as_deref(), Some("urn:uuid:1"));
        assert_eq!(last_segment("ecogrid://knb/x.1.2/").as_deref(), Some("x.1.2"));
        assert_eq!(last_segment("https://"), None);
    }
}

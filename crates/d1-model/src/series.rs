//! Chains of versions: the head of a series (SID), and the current one of several resource maps.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::identifier::Identifier;
use crate::system_metadata::SystemMetadata;

/// Finds the object that a series identifier means, among all objects of that series.
///
/// An object is an end of the chain if nothing obsoletes it, or if the object that obsoletes it is not in the
/// series. The head of a chain with one end is that end. In any other chain, the object uploaded last is the head
/// (DataONE architecture, “Mutability of Content”). Of objects uploaded at the same time, the first one in the
/// list counts.
#[must_use]
pub fn head_of_series(objects: &[SystemMetadata]) -> Option<&SystemMetadata> {
    let mut ends = objects.iter().filter(|object| is_end(object, objects));
    match (ends.next(), ends.next()) {
        (Some(end), None) => Some(end),
        // Of equal items, `max_by_key` returns the last.
        _ => objects
            .iter()
            .rev()
            .max_by_key(|object| object.date_uploaded.as_ref().and_then(|date| date.instant())),
    }
}

/// The current one of several resource maps of one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurrentMap<'a> {
    /// The system metadata of the current map.
    pub map: &'a SystemMetadata,
    /// Whether no other map is current by the chain of versions. Otherwise the date of upload decided, or the
    /// identifier if the dates are equal.
    pub is_only: bool,
}

/// Finds the current one of several resource maps of one package, given their system metadata.
///
/// A map is not current if another one obsoletes it, by either statement and over any number of versions. Archived
/// maps are current only if all are. Of the rest, the map uploaded last is current. Of maps uploaded at the same
/// time, the one with the greatest identifier is current. The order of `maps` does not matter.
///
/// ```
/// use d1_model::{Checksum, SystemMetadata, current_map};
///
/// let checksum: Checksum = "MD5:900150983cd24fb0d6963f7d28e17f72".parse()?;
/// let map = |name: &str| Ok::<_, d1_model::IdentifierError>(SystemMetadata::new(
///     name.parse()?, d1_model::RESOURCE_MAP_FORMAT_ID, 3, checksum.clone(), "me"));
/// let (mut old, new) = (map("map.1")?, map("map.2")?);
/// old.obsoleted_by = Some(new.identifier.clone());
/// let maps = [new, old];
/// let current = current_map(&maps).ok_or("no maps")?;
/// assert_eq!((current.map.identifier.as_str(), current.is_only), ("map.2", true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn current_map(maps: &[SystemMetadata]) -> Option<CurrentMap<'_>> {
    let obsoleted: BTreeSet<&Identifier> = maps.iter().filter_map(|map| map.obsoletes.as_ref()).collect();
    let known: BTreeSet<&Identifier> = maps.iter().map(|map| &map.identifier).collect();
    let is_end = |map: &&SystemMetadata| {
        let newer = map.obsoleted_by.as_ref().is_some_and(|newer| known.contains(newer));
        !newer && !obsoleted.contains(&map.identifier)
    };
    let is_live = |map: &&SystemMetadata| map.archived != Some(true);
    // Maps that obsolete each other have no end.
    let ends: Vec<&SystemMetadata> = match maps.iter().filter(is_end).collect::<Vec<_>>() {
        none if none.is_empty() => maps.iter().collect(),
        ends => ends,
    };
    let live: Vec<&SystemMetadata> = ends.iter().copied().filter(is_live).collect();
    let candidates = if live.is_empty() { ends } else { live };
    let is_only = candidates.len() == 1;
    let map = candidates.into_iter().max_by(|left, right| by_upload(left, right))?;
    Some(CurrentMap { map, is_only })
}

/// Orders objects by their dates of upload, then by their identifiers.
fn by_upload(left: &SystemMetadata, right: &SystemMetadata) -> Ordering {
    let uploaded = |map: &SystemMetadata| map.date_uploaded.as_ref().and_then(|date| date.instant());
    uploaded(left).cmp(&uploaded(right)).then_with(|| left.identifier.cmp(&right.identifier))
}

fn is_end(object: &SystemMetadata, objects: &[SystemMetadata]) -> bool {
    // Either of the two statements about a pair of versions may be missing.
    !objects.iter().any(|other| {
        object.obsoleted_by.as_ref() == Some(&other.identifier)
            || other.obsoletes.as_ref() == Some(&object.identifier)
    })
}

#[cfg(test)]
mod tests {
    use super::{current_map, head_of_series};
    use crate::checksum::{Checksum, ChecksumAlgorithm};
    use crate::date_time::DateTime;
    use crate::system_metadata::SystemMetadata;

    /// Makes a version from its name, what it obsoletes, what obsoletes it, and the day of its upload.
    fn version((name, obsoletes, obsoleted_by, day): (&str, &str, &str, u8)) -> SystemMetadata {
        let checksum = Checksum::new(ChecksumAlgorithm::Md5, "00");
        let mut value = SystemMetadata::new(name.parse().unwrap(), "text/csv", 0, checksum, "me");
        value.obsoletes = obsoletes.parse().ok();
        value.obsoleted_by = obsoleted_by.parse().ok();
        value.date_uploaded = (day > 0).then(|| DateTime::from_text(format!("2020-01-{day:02}T00:00:00Z")));
        value
    }

    #[test]
    fn current_maps_do_not_depend_on_the_order_of_the_maps() {
        // Name, obsoletes, obsoleted by, day of upload; then the current one, and whether it is the only one.
        let cases: [(&[_], _, _); 8] = [
            (&[("a", "", "", 1)], "a", true),
            // Either statement is enough, whatever the dates say.
            (&[("a", "", "b", 9), ("b", "", "", 1)], "b", true),
            (&[("a", "", "", 9), ("b", "a", "", 1)], "b", true),
            (&[("a", "", "b", 3), ("b", "a", "c", 2), ("c", "b", "", 1)], "c", true),
            // A version that nobody gave does not take part.
            (&[("a", "", "z", 3), ("b", "", "", 1)], "a", false),
            (&[("a", "", "", 1), ("b", "", "", 2)], "b", false),
            // Without dates, the identifier decides.
            (&[("b", "", "", 0), ("a", "", "", 0)], "b", false),
            (&[("a", "b", "b", 5), ("b", "a", "a", 4)], "a", false),
        ];
        for (versions, current, is_only) in cases {
            let mut maps: Vec<_> = versions.iter().copied().map(version).collect();
            for _ in 0..maps.len() {
                let found = current_map(&maps).unwrap();
                assert_eq!(
                    (found.map.identifier.as_str(), found.is_only),
                    (current, is_only),
                    "{versions:?}"
                );
                maps.rotate_left(1);
            }
        }
        assert!(current_map(&[]).is_none());
        let mut maps = [version(("a", "", "", 1)), version(("b", "", "", 2))];
        maps[1].archived = Some(true);
        assert_eq!(current_map(&maps).unwrap().map.identifier.as_str(), "a");
        maps[0].archived = Some(true);
        assert_eq!(current_map(&maps).unwrap().map.identifier.as_str(), "b");
    }

    #[test]
    fn heads_of_series() {
        let cases: [(&[_], _); 8] = [
            (&[], None),
            (&[("a", "", "", 1)], Some("a")),
            (&[("a", "", "b", 3), ("b", "a", "c", 2), ("c", "b", "", 1)], Some("c")),
            // One direction is enough.
            (&[("a", "", "b", 3), ("b", "", "", 1)], Some("b")),
            (&[("a", "", "", 3), ("b", "a", "", 1)], Some("b")),
            // The next version is in another series.
            (&[("a", "", "b", 3), ("b", "a", "x", 1)], Some("b")),
            // Two ends, or none: the last upload.
            (&[("a", "", "", 1), ("b", "", "", 2), ("c", "", "", 0)], Some("b")),
            (&[("a", "b", "b", 5), ("b", "a", "a", 5)], Some("a")),
        ];
        for (versions, head) in cases {
            let objects: Vec<_> = versions.iter().copied().map(version).collect();
            assert_eq!(
                head_of_series(&objects).map(|object| object.identifier.as_str()),
                head,
                "{versions:?}"
            );
        }
    }
}

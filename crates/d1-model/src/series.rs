//! Chains of versions: which object a series identifier (SID) stands for.

use crate::system_metadata::SystemMetadata;

/// Finds the object that a series identifier stands for, among all objects of that series.
///
/// An object is an end of the chain if nothing obsoletes it, or if what does is not in the series. A chain with one end
/// has that end as its head; in any other chain the object uploaded last is the head (DataONE architecture, “Mutability
/// of Content”). Of objects uploaded at the same time, the first one given counts.
#[must_use]
pub fn head_of_series(objects: &[SystemMetadata]) -> Option<&SystemMetadata> {
    let mut ends = objects.iter().filter(|object| is_end(object, objects));
    match (ends.next(), ends.next()) {
        (Some(end), None) => Some(end),
        // Of equals, `max_by_key` takes the last.
        _ => objects
            .iter()
            .rev()
            .max_by_key(|object| object.date_uploaded.as_ref().and_then(|date| date.instant())),
    }
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
    use super::head_of_series;
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

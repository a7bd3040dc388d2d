//! Names by which a file may be known: hints, for files that are equal otherwise.

/// How producers mark the kind of an object in the names that they make from identifiers.
const KIND_MARKS: [&str; 3] = ["-DATA", "-METADATA", "-RESOURCE"];

/// Returns the keys under which a file's name may fit a `fileName` or an identifier, the most exact first.
///
/// Producers replace characters that they take for unsafe, put `0-duplicate-` before names that come twice, and
/// name files `IDENTIFIER-DATA.csv` where there is no file name.
pub(super) fn keys_of_path(path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let mut keys = vec![key(name)];
    if let Some((number, rest)) = name.split_once("-duplicate-")
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        keys.push(key(rest));
    }
    if let Some((stem, _)) = name.rsplit_once('.') {
        keys.push(key(stem));
        keys.extend(KIND_MARKS.iter().filter_map(|mark| stem.strip_suffix(mark)).map(key));
    }
    keys.extend(KIND_MARKS.iter().filter_map(|mark| name.strip_suffix(mark)).map(key));
    keys
}

/// Returns a text as producers sanitise it: everything but `[A-Za-z0-9.-]` as `_`.
pub(crate) fn key(text: &str) -> String {
    let is_kept = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-');
    text.chars().map(|character| if is_kept(character) { character } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{key, keys_of_path};

    #[test]
    fn names_of_real_producers_are_found() {
        for (path, wanted) in [
            ("data/a b.csv", "a b.csv"),
            ("data/sub/0-duplicate-plot.py", "plot.py"),
            ("data/urn_uuid_1-DATA.csv", "urn:uuid:1"),
            ("data/doi_10.1_x-METADATA", "doi:10.1/x"),
            ("data/peggym.133.1", "peggym.133.1"),
            ("data/peggym.133.1.xml", "peggym.133.1"),
        ] {
            assert!(keys_of_path(path).contains(&key(wanted)), "{path}");
        }
        assert!(!keys_of_path("data/x-duplicate-y").contains(&key("y")));
    }
}

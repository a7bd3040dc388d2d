//! What a HashStore's `hashstore.yaml` says of its layout (HashStore 1.1).

use std::ops::RangeInclusive;

/// The file's name.
pub(super) const FILE_NAME: &str = "hashstore.yaml";

/// The largest file that is read: it is written by a program, and has some 1,500 bytes.
pub(super) const FILE_LIMIT: u64 = 64 << 10;

/// How many hexadecimal digits a name has.
pub(super) const DIGITS: usize = 64;

/// The depths and widths that HashStore allows.
const DEPTHS: RangeInclusive<usize> = 1..=8;
const WIDTHS: RangeInclusive<usize> = 1..=4;

/// The layout of a HashStore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Config {
    /// How many directories lead to a file.
    pub(super) depth: usize,
    /// How many digits the name of each has.
    pub(super) width: usize,
    /// What is hashed together with an identifier for the name of its system metadata.
    pub(super) namespace: String,
}

impl Config {
    /// Reads the file. It is YAML, of which values on the line of their key are all that is needed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let of_line = |line: &str| Some(plain(line.trim().strip_prefix(key)?.strip_prefix(':')?));
            text.lines().find_map(of_line).ok_or_else(|| format!("{FILE_NAME} has no `{key}`"))
        };
        let number = |key: &str, range: RangeInclusive<usize>| {
            let value = value(key)?;
            let number = value.parse().ok().filter(|number| range.contains(number));
            number.ok_or_else(|| format!("{FILE_NAME} has the {key} `{value}`"))
        };
        let algorithm = value("store_algorithm")?;
        if !matches!(algorithm.to_ascii_uppercase().as_str(), "SHA-256" | "SHA256") {
            return Err(format!("it names objects by {algorithm}; only SHA-256 is the digest of a blob"));
        }
        Ok(Self {
            depth: number("store_depth", DEPTHS)?,
            width: number("store_width", WIDTHS)?,
            namespace: value("store_metadata_namespace")?,
        })
    }
}

/// Returns a value without quotes and comment.
fn plain(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((quoted, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return quoted.to_owned();
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::Config;

    const TEXT: &str = "\n        # Default configuration\n        store_depth: 3  # WARNING: DO NOT CHANGE\n        store_width: 2\n\
                        \n        # Example:\n        store_metadata_namespace: \"https://ns.dataone.org/service/types/v2.0#SystemMetadata\"\n\
                        \n        store_algorithm: \"SHA-256\"\n        store_default_algo_list:\n        - \"MD5\"\n";

    #[test]
    fn the_file_as_it_is_written() {
        let namespace = "https://ns.dataone.org/service/types/v2.0#SystemMetadata".to_owned();
        assert_eq!(Config::parse(TEXT), Ok(Config { depth: 3, width: 2, namespace }));
    }

    #[test]
    fn other_layouts_are_refused() {
        for (old, new, reason) in [
            ("store_depth: 3", "store_depth: 0", "store_depth `0`"),
            ("store_width: 2", "store_width: 99999999999999999999", "store_width"),
            ("SHA-256", "SHA-512", "SHA-512"),
            ("store_algorithm", "algorithm", "no `store_algorithm`"),
        ] {
            let error = Config::parse(&TEXT.replace(old, new)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}

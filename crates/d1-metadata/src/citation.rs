//! The citation of a package as a sentence.

use std::fmt;

/// The parts of a citation. Its text is `Names (year). Title. Version. Publisher. Place`.
///
/// ```
/// use d1_metadata::Citation;
///
/// let citation = Citation {
///     creators: vec!["Ada Lovelace", "Mary Somerville"],
///     year: Some("2024"),
///     title: "Water temperature of a lake.",
///     place: "https://doi.org/10.5072/A2LAKE",
///     ..Citation::default()
/// };
/// assert_eq!(
///     citation.to_string(),
///     "Ada Lovelace, Mary Somerville (2024). Water temperature of a lake. https://doi.org/10.5072/A2LAKE"
/// );
/// ```
#[derive(Clone, Debug, Default)]
pub struct Citation<'a> {
    /// Names of the creators, in order. The text has the first twelve.
    pub creators: Vec<&'a str>,
    /// Year of publication.
    pub year: Option<&'a str>,
    /// The title.
    pub title: &'a str,
    /// The version in words.
    pub version: Option<&'a str>,
    /// The publisher.
    pub publisher: Option<&'a str>,
    /// Address or identifier of the package.
    pub place: &'a str,
}

/// How many creators are named.
const MOST_NAMES: usize = 12;

impl fmt::Display for Citation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.creators.iter().take(MOST_NAMES).copied().collect();
        let mut authors = names.join(", ");
        if self.creators.len() > MOST_NAMES {
            authors += " et al.";
        }
        if let Some(year) = self.year {
            authors += &if authors.is_empty() { year.to_owned() } else { format!(" ({year})") };
        }
        let title = self.title.trim_end_matches('.');
        let parts = [Some(authors.as_str()), Some(title), self.version, self.publisher];
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            write!(formatter, "{part}. ")?;
        }
        formatter.write_str(self.place)
    }
}

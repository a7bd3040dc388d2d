//! Departures of a document from its schema that did not prevent reading.

use std::fmt;

/// The most different oddities of one document. The rest is counted under [`OddityCode::MoreOddities`].
const MAX_ODDITIES: usize = 100;
/// The longest text from a document in an oddity, in characters.
const MAX_QUOTED_CHARACTERS: usize = 200;

/// A value read from a document, and the oddities of that document.
///
/// The document's bytes stay with the caller. Store these bytes: a value that is written again may have others.
///
/// ```
/// use d1_model::{ErrorDocument, OddityCode, Parsed};
///
/// let document = br#"<error name="NotFound" errorCode="404" detailCode="1800"><sorry/></error>"#;
/// let parsed: Parsed<ErrorDocument> = ErrorDocument::parse(document)?;
/// assert_eq!(parsed.value.name, "NotFound");
/// assert!(parsed.has(OddityCode::UnknownElement));
/// # Ok::<(), d1_model::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed<T> {
    /// The content of the document.
    pub value: T,
    /// The oddities, in order of first appearance.
    pub oddities: Vec<Oddity>,
}

impl<T> Parsed<T> {
    /// Returns whether an oddity has this code.
    #[must_use]
    pub fn has(&self, code: OddityCode) -> bool {
        self.oddities.iter().any(|oddity| oddity.code == code)
    }
}

/// One departure from the schema or the conventions that did not prevent reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oddity {
    /// The kind of departure.
    pub code: OddityCode,
    /// The path of the element, such as `replicationPolicy/preferredMemberNode`, or the name of the RDF property.
    pub path: String,
    /// A sentence about the first occurrence.
    pub message: String,
    /// The number of occurrences at this path.
    pub occurrences: u64,
}

impl fmt::Display for Oddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if !self.path.is_empty() {
            write!(formatter, " at {}", self.path)?;
        }
        write!(formatter, ": {}", self.message)?;
        if self.occurrences > 1 {
            write!(formatter, " ({} times)", self.occurrences)?;
        }
        Ok(())
    }
}

macro_rules! oddity_codes {
    ($($(#[$doc:meta])+ $variant:ident = $text:literal,)+) => {
        /// A kind of departure. Its text form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum OddityCode {
            $($(#[$doc])+ $variant,)+
        }

        impl OddityCode {
            /// Returns the code as text, such as `empty-element`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

oddity_codes! {
    /// The XML declaration names another encoding than UTF-8, though the bytes are UTF-8.
    DeclaredEncoding = "declared-encoding",
    /// There is a document type declaration; it was not followed.
    DocumentType = "document-type",
    /// The root element is in no or another namespace.
    Namespace = "namespace",
    /// An element that the schema leaves unqualified is in a namespace.
    QualifiedElement = "qualified-element",
    /// An element that the schema does not know; it was skipped.
    UnknownElement = "unknown-element",
    /// An element of a later version of the schema than the root's.
    ElementOfLaterVersion = "element-of-later-version",
    /// An element that may occur once occurs again; the first one counts.
    DuplicateElement = "duplicate-element",
    /// The elements are not in the order of the schema.
    ElementOrder = "element-order",
    /// An element or attribute has no content though it must have some; it was ignored.
    EmptyElement = "empty-element",
    /// A required element or attribute is missing.
    MissingElement = "missing-element",
    /// Text stands between elements.
    StrayText = "stray-text",
    /// A value has whitespace around it; it was trimmed.
    SurroundingWhitespace = "surrounding-whitespace",
    /// A value is not valid and was ignored.
    InvalidValue = "invalid-value",
    /// A date has no time zone; it was taken as UTC.
    DateWithoutZone = "date-without-zone",
    /// A date is not valid or does not have the schema's form. Its text was kept.
    InvalidDate = "invalid-date",
    /// A checksum algorithm has a name that is not in the vocabulary.
    UnknownAlgorithm = "unknown-algorithm",
    /// A checksum algorithm is spelt differently from the vocabulary.
    AlgorithmSpelling = "algorithm-spelling",
    /// A checksum is not hexadecimal, or its length is wrong for its algorithm.
    MalformedChecksum = "malformed-checksum",
    /// A list does not have the stated number of entries.
    WrongCount = "wrong-count",
    /// The name of a blank node breaks the rules of XML names. It was read nevertheless.
    InvalidNodeId = "invalid-node-id",
    /// An identifier is given as its own resolve address. The identifier in the address counts.
    IdentifierIsUri = "identifier-is-uri",
    /// A resource map statement has text where a URI is required.
    LiteralObject = "literal-object",
    /// Membership is stated only by `ore:aggregates` or only by `ore:isAggregatedBy`.
    OneWayAggregation = "one-way-aggregation",
    /// A relation is stated only by `cito:documents` or only by `cito:isDocumentedBy`.
    OneWayDocumentation = "one-way-documentation",
    /// A resource has no `dcterms:identifier`; its identifier was taken from its URI.
    MissingIdentifier = "missing-identifier",
    /// A resource has several identifiers; the first one counts.
    SeveralIdentifiers = "several-identifiers",
    /// The identifier of a member is unknown. The member was left out.
    UnidentifiedMember = "unidentified-member",
    /// A resource's URI contains another identifier than its `dcterms:identifier`, which counts.
    UriDisagrees = "uri-disagrees",
    /// A member's URI is not the resolve address of a Coordinating Node.
    NotResolveUri = "not-resolve-uri",
    /// One object is named by several URIs.
    SeveralUris = "several-uris",
    /// The aggregation's URI is not the map's URI with `#aggregation`.
    AggregationUri = "aggregation-uri",
    /// No statement says which resource is the map.
    MissingMap = "missing-map",
    /// The document describes several aggregations. One was chosen.
    SeveralAggregations = "several-aggregations",
    /// The aggregation has no members.
    EmptyAggregation = "empty-aggregation",
    /// The map lists itself as a member; this was ignored.
    SelfAggregation = "self-aggregation",
    /// A document is said to document itself.
    SelfDocumentation = "self-documentation",
    /// A relation names a resource that is not a member; it was ignored.
    RelationToNonMember = "relation-to-non-member",
    /// A member is documented by nothing and documents nothing.
    UndocumentedMember = "undocumented-member",
    /// There were more oddities than the list can hold.
    MoreOddities = "more-oddities",
}

impl fmt::Display for OddityCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Collects oddities: one entry per code and path, bounded in number.
#[derive(Debug, Default)]
pub(crate) struct OddityList {
    found: Vec<Oddity>,
}

impl OddityList {
    pub(crate) fn add(&mut self, code: OddityCode, path: &str, message: impl FnOnce() -> String) {
        self.add_many(code, path, 1, message);
    }

    pub(crate) fn add_many(
        &mut self,
        code: OddityCode,
        path: &str,
        occurrences: u64,
        message: impl FnOnce() -> String,
    ) {
        if occurrences == 0 {
            return;
        }
        if let Some(known) = self.found.iter_mut().find(|known| known.code == code && known.path == path) {
            known.occurrences = known.occurrences.saturating_add(occurrences);
        } else if self.found.len() < MAX_ODDITIES {
            self.found.push(Oddity { code, path: path.to_owned(), message: message(), occurrences });
        } else if code != OddityCode::MoreOddities {
            // The list is full. Its last entry counts the rest.
            self.count_the_rest(occurrences);
        }
    }

    pub(crate) fn into_vec(self) -> Vec<Oddity> {
        self.found
    }

    fn count_the_rest(&mut self, occurrences: u64) {
        match self.found.last_mut() {
            Some(last) if last.code == OddityCode::MoreOddities => {
                last.occurrences = last.occurrences.saturating_add(occurrences);
            }
            Some(last) => {
                *last = Oddity {
                    code: OddityCode::MoreOddities,
                    path: String::new(),
                    message: "there are more oddities than are listed".to_owned(),
                    occurrences: last.occurrences.saturating_add(occurrences),
                };
            }
            None => {}
        }
    }
}

/// Shortens a text from a document for a message.
pub(crate) fn quoted(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(MAX_QUOTED_CHARACTERS).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::{MAX_ODDITIES, OddityCode, OddityList, quoted};

    #[test]
    fn repeated_oddities_are_counted() {
        let mut list = OddityList::default();
        for number in 0..3 {
            list.add(OddityCode::EmptyElement, "a", || format!("number {number}"));
        }
        list.add(OddityCode::EmptyElement, "b", || "other".to_owned());
        let found = list.into_vec();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].to_string(), "empty-element at a: number 0 (3 times)");
    }

    #[test]
    fn the_list_is_bounded_and_counts_the_rest() {
        let mut list = OddityList::default();
        for number in 0..MAX_ODDITIES + 10 {
            list.add(OddityCode::UnknownElement, &format!("e{number}"), String::new);
        }
        let found = list.into_vec();
        assert_eq!(found.len(), MAX_ODDITIES);
        assert_eq!(found[MAX_ODDITIES - 1].code, OddityCode::MoreOddities);
        assert_eq!(found[MAX_ODDITIES - 1].occurrences, 11);
    }

    #[test]
    fn quotations_are_short() {
        assert_eq!(quoted("é"), "é");
        assert_eq!(quoted(&"é".repeat(5000)).chars().count(), 201);
    }
}

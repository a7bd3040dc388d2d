//! What does not fit together between a package and its DataONE documents.

use std::fmt;

/// Something odd, or wrong, about the DataONE documents of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageOddity {
    /// What kind of oddity it is.
    pub code: PackageOddityCode,
    /// Path of the file or document that it is about.
    pub path: Box<str>,
    /// A sentence about it.
    pub message: String,
}

/// Names a kind of oddity; the text form is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PackageOddityCode {
    /// A document looks like system metadata or a resource map and cannot be read as one.
    UnreadableDocument,
    /// A document departs from its schema in some way that did not prevent reading.
    DocumentOddity,
    /// A document changed between being read and being hashed.
    DocumentChanged,
    /// A file has not the checksum or size that its system metadata declare.
    FixityMismatch,
    /// The object that system metadata describe is not in the package.
    ObjectMissing,
    /// The checksum that system metadata declare cannot be computed.
    UnverifiableChecksum,
    /// Two system metadata documents describe the same identifier.
    RepeatedIdentifier,
    /// Several files and system metadata fit each other equally well; they were matched in a stable order.
    AmbiguousMatch,
    /// There are several resource maps of which none contains the others; the first one counts.
    SeveralResourceMaps,
    /// The resource map says another identifier of itself than its system metadata.
    ResourceMapIdentifier,
    /// A member of the resource map is not in the package.
    MemberMissing,
}

impl PackageOddityCode {
    /// Tells whether content is wrong, rather than merely described oddly.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::FixityMismatch | Self::DocumentChanged)
    }

    /// Returns the code as text, such as `fixity-mismatch`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnreadableDocument => "unreadable-document",
            Self::DocumentOddity => "document-oddity",
            Self::DocumentChanged => "document-changed",
            Self::FixityMismatch => "fixity-mismatch",
            Self::ObjectMissing => "object-missing",
            Self::UnverifiableChecksum => "unverifiable-checksum",
            Self::RepeatedIdentifier => "repeated-identifier",
            Self::AmbiguousMatch => "ambiguous-match",
            Self::SeveralResourceMaps => "several-resource-maps",
            Self::ResourceMapIdentifier => "resource-map-identifier",
            Self::MemberMissing => "member-missing",
        }
    }
}

impl fmt::Display for PackageOddityCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for PackageOddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.code, self.path, self.message)
    }
}

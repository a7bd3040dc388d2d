//! Contradictions between the files of a package and the documents that describe them.

use std::fmt;

/// A contradiction between a package and its DataONE documents or its RO-Crate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageOddity {
    /// The kind of oddity.
    pub code: PackageOddityCode,
    /// Path of the file or document.
    pub path: Box<str>,
    /// A sentence about it.
    pub message: String,
}

/// A kind of oddity. Its text form is stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PackageOddityCode {
    /// A document looks like system metadata or a resource map, but cannot be read as one.
    UnreadableDocument,
    /// A document departs from its schema in a way that did not prevent reading.
    DocumentOddity,
    /// A document changed between being read and being hashed.
    DocumentChanged,
    /// A file differs from the checksum or size that its system metadata declare.
    FixityMismatch,
    /// The object that system metadata describe is not in the package.
    ObjectMissing,
    /// The checksum that system metadata declare cannot be computed.
    UnverifiableChecksum,
    /// Two system metadata documents describe the same identifier.
    RepeatedIdentifier,
    /// Several files and system metadata fit each other equally well. They were matched in a fixed order.
    AmbiguousMatch,
    /// There are several resource maps, and none contains the others. The first one counts.
    SeveralResourceMaps,
    /// The resource map states another identifier for itself than its system metadata.
    ResourceMapIdentifier,
    /// A member of the resource map is not in the package.
    MemberMissing,
    /// The resource map's bytes differ from those that its system metadata describe, as in packages by Metacat.
    ResourceMapRewritten,
    /// The metadata document of an RO-Crate cannot be read.
    CrateUnreadable,
    /// The root of an RO-Crate lacks a required property.
    CrateProperty,
    /// An RO-Crate describes a file or directory that does not exist.
    CratePart,
    /// An RO-Crate describes a file that no `hasPart` links to its root.
    CratePartUnlinked,
    /// No entity of an RO-Crate describes the file.
    CrateFileUndescribed,
    /// A file does not have the size that an RO-Crate states.
    CrateSize,
    /// A file does not have the checksum that an RO-Crate states.
    CrateChecksum,
    /// There were more oddities than the list can hold.
    MoreOddities,
}

impl PackageOddityCode {
    /// Returns whether content is wrong, not only described oddly.
    #[must_use]
    pub fn is_fault(self) -> bool {
        matches!(self, Self::FixityMismatch | Self::DocumentChanged | Self::CrateChecksum)
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
            Self::ResourceMapRewritten => "resource-map-rewritten",
            Self::CrateUnreadable => "crate-unreadable",
            Self::CrateProperty => "crate-property",
            Self::CratePart => "crate-part",
            Self::CratePartUnlinked => "crate-part-unlinked",
            Self::CrateFileUndescribed => "crate-file-undescribed",
            Self::CrateSize => "crate-size",
            Self::CrateChecksum => "crate-checksum",
            Self::MoreOddities => "more-oddities",
        }
    }
}

/// The most oddities besides faults in a list. Each file has at most one fault.
const MAX_ODDITIES: usize = 1000;

/// Collects oddities, bounded in number.
#[derive(Debug, Default)]
pub(crate) struct OddityList {
    found: Vec<PackageOddity>,
    others: usize,
    unlisted: usize,
}

impl OddityList {
    pub(crate) fn add(&mut self, code: PackageOddityCode, path: &str, message: impl Into<String>) {
        if !code.is_fault() {
            if self.others >= MAX_ODDITIES {
                self.unlisted += 1;
                return;
            }
            self.others += 1;
        }
        self.found.push(PackageOddity { code, path: path.into(), message: message.into() });
    }

    pub(crate) fn of(found: &[PackageOddity]) -> Self {
        Self { found: found.to_vec(), others: found.len(), unlisted: 0 }
    }

    /// Returns the oddities in order of their paths.
    pub(crate) fn into_vec(mut self) -> Vec<PackageOddity> {
        self.found.sort_by(|left, right| (&left.path, left.code).cmp(&(&right.path, right.code)));
        if self.unlisted > 0 {
            let message = format!("{} more oddities are not listed", self.unlisted);
            self.found.push(PackageOddity {
                code: PackageOddityCode::MoreOddities,
                path: "".into(),
                message,
            });
        }
        self.found
    }
}

impl fmt::Display for PackageOddityCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for PackageOddity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.code)?;
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}

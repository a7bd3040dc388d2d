//! The form of a package, and the facts about it as a whole.

use d1_model::Identifier;
use oci_model::{Digest, MediaType};

use crate::index::BagRecord;
use crate::media::{RO_CRATE_ARTIFACT_TYPE, UNKNOWN_ARTIFACT_TYPE, bag_artifact_type};
use crate::ro_crate::METADATA_FILE;

/// The file that makes a directory a bag (RFC 8493 section 2.1.1).
const BAG_DECLARATION: &str = "bagit.txt";

/// Names the form of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// A bag: RFC 8493 or one of its drafts.
    Bag,
    /// An attached RO-Crate.
    RoCrate,
    /// Any other directory.
    #[default]
    Directory,
}

impl Form {
    /// Returns the form of a directory with these files.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let mut form = Self::Directory;
        for path in paths {
            match path {
                BAG_DECLARATION => return Self::Bag,
                METADATA_FILE => form = Self::RoCrate,
                _ => {}
            }
        }
        form
    }
}

/// The facts about a package as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageFacts {
    /// The form of its directory.
    pub form: Form,
    /// The facts in `bagit.txt` and in the names of the manifests, `None` unless it is a bag.
    pub bag: Option<BagRecord>,
    /// Identifier of the package.
    pub identifier: Option<Identifier>,
    /// Identifier of the resource map.
    pub resource_map: Option<Identifier>,
    /// Series identifier of the package.
    pub series_id: Option<Identifier>,
    /// Identifier of the version that this one replaces.
    pub obsoletes: Option<Identifier>,
    /// Identifier of the version that replaces this one.
    pub obsoleted_by: Option<Identifier>,
    /// Whether the object that gave the package its identifier is archived.
    pub archived: bool,
    /// The number of objects in the package that not everybody may read.
    pub not_public: usize,
    /// Digest of the identities of all members, see [`content_digest`](crate::content_digest()).
    pub content_digest: Option<Digest>,
    /// Title of the package for people.
    pub title: Option<String>,
    /// The licences as an SPDX expression, if each has an SPDX identifier.
    pub spdx_license: Option<String>,
    /// The licences, as an RO-Crate states them.
    pub license: Option<String>,
    /// The names of the authors, separated by commas.
    pub authors: Option<String>,
}

impl PackageFacts {
    /// Returns the artifact type of the package: that of its bag, its RO-Crate, or the unknown type.
    #[must_use]
    pub fn artifact_type(&self) -> MediaType {
        match (self.form, &self.bag) {
            (_, Some(bag)) => bag_artifact_type(bag.version),
            (Form::RoCrate, None) => MediaType::from_static(RO_CRATE_ARTIFACT_TYPE),
            (Form::Bag | Form::Directory, None) => MediaType::from_static(UNKNOWN_ARTIFACT_TYPE),
        }
    }
}

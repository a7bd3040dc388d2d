//! The form of a package, and the facts about it as a whole.

use d1_model::Identifier;
use oci_model::{Digest, MediaType};

use crate::files::ObjectFacts;
use crate::index::BagRecord;
use crate::media::{RO_CRATE_ARTIFACT_TYPE, UNKNOWN_ARTIFACT_TYPE, bag_artifact_type};
use crate::oddity::PackageOddity;
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
    ///
    /// ```
    /// use d1_package::Form;
    ///
    /// assert_eq!(Form::of(["data/a.csv", "bagit.txt"]), Form::Bag);
    /// assert_eq!(Form::of(["ro-crate-metadata.json", "a.csv"]), Form::RoCrate);
    /// assert_eq!(Form::of(["a.csv"]), Form::Directory);
    /// ```
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
    /// Identifier of the package: that of the science metadata, if exactly one such object documents the data, else that
    /// of the resource map, else that of the RO-Crate.
    pub identifier: Option<Identifier>,
    /// Identifier of the resource map.
    pub resource_map: Option<Identifier>,
    /// Series identifier of the object that gave the package its identifier.
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

/// The facts about a directory and its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormFacts {
    /// The facts about the package as a whole, without those about its bag.
    pub package: PackageFacts,
    /// The facts about files, by their position in [`PackageFiles::files`](crate::PackageFiles::files), ascending.
    pub objects: Vec<(usize, ObjectFacts)>,
    /// The date of publication, RFC 3339.
    pub published: Option<String>,
    /// Identifiers of objects in the package that not everybody may read.
    pub not_public: Vec<Identifier>,
    /// The oddities of the documents and the files.
    pub oddities: Vec<PackageOddity>,
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

//! What was recognised in a package.

use d1_model::Identifier;

use crate::{ObjectFacts, PackageOddity};

/// What DataONE knows of a package and its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataOneFacts {
    /// Identifier of the package: that of the science metadata, if exactly one such object documents the data, else that of the
    /// resource map.
    pub identifier: Option<Identifier>,
    /// Identifier of the resource map.
    pub resource_map: Option<Identifier>,
    /// Series identifier of the object that gave the package its identifier.
    pub series_id: Option<Identifier>,
    /// What the object that gave the package its identifier replaces.
    pub obsoletes: Option<Identifier>,
    /// Title of the package, from the resource map.
    pub title: Option<String>,
    /// Facts of files, by their position in [`crate::PackageFiles::files`], ascending.
    pub objects: Vec<(usize, ObjectFacts)>,
    /// Identifiers of objects in the package that not everybody may read.
    pub not_public: Vec<Identifier>,
    /// What does not fit together.
    pub oddities: Vec<PackageOddity>,
}

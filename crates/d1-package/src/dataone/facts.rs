//! What was recognised in a package.

use d1_model::Identifier;

use crate::{BagRecord, ObjectFacts, PackageFacts, PackageOddity};

/// What DataONE knows of a package and its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataOneFacts {
    /// Identifier of the package: that of the science metadata, if exactly one such object documents the data, else
    /// that of the resource map.
    pub identifier: Option<Identifier>,
    /// Identifier of the resource map.
    pub resource_map: Option<Identifier>,
    /// Series identifier of the object that gave the package its identifier.
    pub series_id: Option<Identifier>,
    /// What the object that gave the package its identifier replaces.
    pub obsoletes: Option<Identifier>,
    /// The version that replaces the object that gave the package its identifier.
    pub obsoleted_by: Option<Identifier>,
    /// Whether the object that gave the package its identifier is archived.
    pub archived: bool,
    /// Title of the package, from the resource map.
    pub title: Option<String>,
    /// Facts of files, by their position in [`crate::PackageFiles::files`], ascending.
    pub objects: Vec<(usize, ObjectFacts)>,
    /// Identifiers of objects in the package that not everybody may read.
    pub not_public: Vec<Identifier>,
    /// What does not fit together.
    pub oddities: Vec<PackageOddity>,
}

impl DataOneFacts {
    /// Returns what is known of the package as a whole.
    #[must_use]
    pub fn package_facts(&self, bag: Option<BagRecord>) -> PackageFacts {
        PackageFacts {
            bag,
            identifier: self.identifier.clone(),
            resource_map: self.resource_map.clone(),
            series_id: self.series_id.clone(),
            obsoletes: self.obsoletes.clone(),
            obsoleted_by: self.obsoleted_by.clone(),
            archived: self.archived,
            not_public: self.not_public.len(),
            title: self.title.clone(),
            ..PackageFacts::default()
        }
    }
}

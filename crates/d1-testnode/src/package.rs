//! A package: the objects that belong together.

use d1_model::Identifier;

/// A package. Its map is made from the other fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// The resource map.
    pub map: Identifier,
    /// The object that documents all others.
    pub metadata: Identifier,
    /// The data, and where in the package's folders they lie.
    pub data: Vec<(Identifier, Option<String>)>,
    /// The resource maps of packages within this one.
    pub nested: Vec<Identifier>,
    /// The map of the version before.
    pub obsoletes: Option<Identifier>,
}

impl Package {
    /// Makes a package of data without places.
    #[must_use]
    pub fn new(map: Identifier, metadata: Identifier, data: impl IntoIterator<Item = Identifier>) -> Self {
        let data = data.into_iter().map(|identifier| (identifier, None)).collect();
        Self { map, metadata, data, nested: Vec::new(), obsoletes: None }
    }
}

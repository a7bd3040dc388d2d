//! Many packages of many objects, the same each time.

use std::io;

use d1_model::{ChecksumAlgorithm, Identifier};

use crate::catalog::Catalog;
use crate::content::{Content, mixed};
use crate::object::StoredObject;
use crate::package::Package;

/// The format of the generated metadata.
const METADATA_FORMAT: &str = "https://eml.ecoinformatics.org/eml-2.2.0";

/// Describes many packages; the same numbers give the same objects, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// How many packages there are.
    pub packages: u32,
    /// How many objects each package has, the map and the metadata among them: two or more.
    pub objects: u32,
    /// The size of the smallest data object, in bytes.
    pub smallest: u64,
    /// The size of the largest data object, in bytes.
    pub largest: u64,
    /// Makes one such node differ from another.
    pub seed: u64,
}

impl Scale {
    /// Makes the packages.
    ///
    /// # Errors
    ///
    /// If a map cannot be written.
    pub fn catalog(&self) -> io::Result<Catalog> {
        let mut catalog = Catalog::default();
        for package in 0..self.packages {
            let metadata = self.metadata(package);
            let text = format!("<eml packageId=\"{metadata}\"><title>Package {package}</title></eml>\n");
            let algorithm = ChecksumAlgorithm::Sha1;
            let object = StoredObject::with_algorithm(
                metadata.clone(),
                METADATA_FORMAT,
                Content::text(&text),
                &algorithm,
            )?;
            catalog.put(object.edited(|meta| meta.file_name = Some("metadata.xml".to_owned())))?;
            let mut data = Vec::new();
            for number in 0..self.objects.saturating_sub(2) {
                let identifier = self.data(package, number);
                let seed = self.number(package, number);
                let span = self.largest.saturating_sub(self.smallest).saturating_add(1);
                let size = self.smallest.saturating_add(mixed(seed, 2).checked_rem(span).unwrap_or_default());
                // The algorithms that occur in the network.
                let algorithms = [ChecksumAlgorithm::Md5, ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256];
                let algorithm = &algorithms[usize::try_from(number % 3).unwrap_or_default()];
                let content = Content::Generated { seed, size };
                let object =
                    StoredObject::with_algorithm(identifier.clone(), "text/csv", content, algorithm)?;
                let name = format!("data-{number}.csv");
                catalog.put(object.edited(|meta| meta.file_name = Some(name.clone())))?;
                data.push((identifier, Some(format!("data/part-{}/{name}", number % 4))));
            }
            let map = self.map(package);
            catalog.put_package(&Package { map, metadata, data, nested: Vec::new(), obsoletes: None })?;
        }
        Ok(catalog)
    }

    /// Returns the identifier of a package's resource map.
    pub fn map(&self, package: u32) -> Identifier {
        identifier(format!("resource_map_doi:10.5072/SCALE{}.{package}", self.seed))
    }

    /// Returns the identifier of a package's metadata.
    pub fn metadata(&self, package: u32) -> Identifier {
        identifier(format!("doi:10.5072/SCALE{}.{package}", self.seed))
    }

    /// Returns the identifier of a package's data object.
    pub fn data(&self, package: u32, number: u32) -> Identifier {
        let seed = self.number(package, number);
        let (high, low) = (mixed(seed, 0), mixed(seed, 1));
        let text = format!("{high:016x}{low:016x}");
        let (a, rest) = text.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        identifier(format!("urn:uuid:{a}-{b}-{c}-{d}-{e}"))
    }

    fn number(&self, package: u32, number: u32) -> u64 {
        mixed(self.seed, u64::from(package) << 32 | u64::from(number))
    }
}

fn identifier(text: String) -> Identifier {
    Identifier::try_from(text).unwrap_or_else(|error| unreachable!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_numbers_give_the_same_objects() {
        let scale = Scale { packages: 3, objects: 5, smallest: 0, largest: 99, seed: 1 };
        let describe = |catalog: &Catalog| -> Vec<_> {
            catalog.objects().map(|object| object.document(false).unwrap()).collect()
        };
        let first = scale.catalog().unwrap();
        assert_eq!(first.len(), 15);
        assert_eq!(describe(&first), describe(&scale.catalog().unwrap()));
        assert_ne!(describe(&first), describe(&Scale { seed: 2, ..scale }.catalog().unwrap()));
        let data = scale.data(2, 1);
        let relations = first.relations(&data).unwrap();
        assert!(relations.maps.contains(&scale.map(2)));
        assert!(relations.documented_by.contains(&scale.metadata(2)));
    }
}

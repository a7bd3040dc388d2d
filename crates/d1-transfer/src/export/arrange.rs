//! Where the files of a package that is no bag go in a bag: the layout of Metacat's packages.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use bytes::Bytes;
use d1_model::{FormatType, Identifier, ObjectFormatList};
use d1_package::{PackageView, system_metadata_name};

use crate::{Error, Result};

/// System metadata that are not among the files of the package.
#[derive(Clone, Debug)]
pub(super) struct AttachedDocument {
    pub(super) identifier: Identifier,
    pub(super) format_id: String,
    pub(super) bytes: Bytes,
}

/// Moves the files of a package from one directory to their places in another. It blocks.
pub(super) fn arrange(
    view: &PackageView,
    from: &Path,
    to: &Path,
    attached: &[AttachedDocument],
) -> Result<()> {
    let data = to.join("data");
    fs::create_dir_all(to).map_err(|error| Error::io("create", to, error))?;
    if view.index().is_none() && !view.archives().is_empty() {
        // What is in it is known by its names alone.
        return fs::rename(from, &data).map_err(|error| Error::io("rename to", data, error));
    }
    fs::create_dir_all(&data).map_err(|error| Error::io("create", &data, error))?;
    let places = places(view, attached);
    for (path, place) in places {
        let target = to.join(&place);
        make_parent(&target)?;
        fs::rename(from.join(path), &target).map_err(|error| Error::io("rename to", target, error))?;
    }
    for document in attached {
        let target = to.join(system_metadata_place(&document.identifier));
        make_parent(&target)?;
        fs::write(&target, &document.bytes).map_err(|error| Error::io("write", target, error))?;
    }
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))
}

/// Returns for each file of the package its place in the bag.
fn places<'a>(view: &'a PackageView, attached: &[AttachedDocument]) -> Vec<(&'a str, String)> {
    let mut described: HashMap<&str, &Identifier> = HashMap::new();
    for object in view.entries().filter_map(|entry| entry.object) {
        if let (Some(document), Some(identifier)) = (&object.system_metadata, &object.identifier) {
            described.insert(document, identifier);
        }
    }
    let mut places = Vec::new();
    let mut names = Names::default();
    let mut data = Vec::new();
    for entry in view.entries() {
        let format_id = entry.object.and_then(|object| object.format_id.as_deref());
        let attached_format = attached.first().map(|document| document.format_id.as_str());
        let kind = format_id.or(attached_format).map(kind_of);
        match (described.get(entry.path), kind) {
            (Some(identifier), _) => {
                places.push((entry.path, names.unique(system_metadata_place(identifier))))
            }
            (None, Some(Kind::ResourceMap)) => {
                places.push((entry.path, names.unique("metadata/oai-ore.xml".to_owned())));
            }
            (None, Some(Kind::Metadata(extension))) => {
                let place = format!("metadata/science-metadata.{extension}");
                places.push((entry.path, names.unique(place)));
            }
            _ => data.push(entry.path),
        }
    }
    // A package that has its data in `data` keeps them there.
    let is_laid_out = data.iter().all(|path| path.starts_with("data/"));
    let place = |path: &str| if is_laid_out { path.to_owned() } else { format!("data/{path}") };
    places.extend(data.into_iter().map(|path| (path, place(path))));
    places
}

enum Kind {
    ResourceMap,
    Metadata(&'static str),
    Data,
}

fn kind_of(format_id: &str) -> Kind {
    let Some(format) = ObjectFormatList::builtin().get(format_id) else { return Kind::Data };
    match format.format_type {
        FormatType::Resource => Kind::ResourceMap,
        FormatType::Metadata => Kind::Metadata(format.extension.as_deref().unwrap_or("xml")),
        _ => Kind::Data,
    }
}

/// Returns where system metadata go.
fn system_metadata_place(identifier: &Identifier) -> String {
    format!("metadata/sysmeta/{}", system_metadata_name(identifier))
}

/// Names that are taken; those that differ by case alone are one on some systems.
#[derive(Default)]
struct Names(HashSet<String>);

impl Names {
    /// Returns the path, with a number in its name if it is taken: `science-metadata(1).xml`.
    fn unique(&mut self, path: String) -> String {
        let (stem, extension) = path.rsplit_once('.').unwrap_or((&path, ""));
        let numbered = (1_u64..).map(|number| format!("{stem}({number}).{extension}"));
        let free = std::iter::once(path.clone()).chain(numbered);
        let mut free = free.filter(|path| !self.0.contains(&path.to_lowercase()));
        // There are more numbers than files.
        let path = free.next().unwrap_or_default();
        self.0.insert(path.to_lowercase());
        path
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    #[test]
    fn names_that_are_taken_get_a_number() {
        let mut names = Names::default();
        let mut unique = |path: &str| names.unique(path.to_owned());
        assert_eq!(unique("metadata/a.xml"), "metadata/a.xml");
        assert_eq!(unique("metadata/A.xml"), "metadata/A(1).xml");
        assert_eq!(unique("metadata/a.xml"), "metadata/a(2).xml");
    }
}

//! Where the files of a package that is no bag go in a bag: the layout of Metacat's packages.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use d1_model::{FormatType, Identifier, ObjectFormatList};
use d1_package::{BagNames, ObjectToPlace, PackageView};

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
    let mut names = BagNames::new();
    let places = places(view, attached, &mut names);
    for (path, place) in places {
        let target = to.join(&place);
        make_parent(&target)?;
        fs::rename(from.join(path), &target).map_err(|error| Error::io("rename to", target, error))?;
    }
    for document in attached {
        let target = to.join(names.place_system_metadata(&document.identifier));
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
fn places<'a>(
    view: &'a PackageView,
    attached: &[AttachedDocument],
    names: &mut BagNames,
) -> Vec<(&'a str, String)> {
    let mut described: HashMap<&str, &Identifier> = HashMap::new();
    for object in view.entries().filter_map(|entry| entry.object) {
        if let (Some(document), Some(identifier)) = (&object.system_metadata, &object.identifier) {
            described.insert(document, identifier);
        }
    }
    let resource_map = view.index().and_then(|index| index.resource_map());
    let (mut places, mut data) = (Vec::new(), Vec::new());
    for entry in view.entries() {
        let stated = entry.object.and_then(|object| object.format_id.as_deref());
        let format_id = stated.or(attached.first().map(|document| document.format_id.as_str()));
        let identifier = entry.object.and_then(|object| object.identifier.as_ref());
        let is_resource_map = identifier.is_some() && identifier == resource_map;
        match (described.get(entry.path), identifier, format_id) {
            (Some(described), ..) => places.push((entry.path, names.place_system_metadata(described))),
            (None, Some(identifier), Some(format_id)) if is_resource_map || is_metadata(format_id) => {
                let (file_name, location) = (None, None);
                let object = ObjectToPlace { identifier, format_id, file_name, location, is_resource_map };
                places.push((entry.path, names.place(&object)));
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

fn is_metadata(format_id: &str) -> bool {
    let format = ObjectFormatList::builtin().get(format_id);
    format.is_some_and(|format| format.format_type == FormatType::Metadata)
}

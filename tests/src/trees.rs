//! Directory trees as values to compare.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The content of a tree: relative path to content, `None` for a directory.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// Reads a tree; links are read as what they point to.
///
/// # Panics
///
/// If it cannot be read.
pub fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    collect(root, "", &mut found);
    found
}

fn collect(directory: &Path, prefix: &str, found: &mut Tree) {
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
        let entry = entry.expect("the entry can be read");
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
            found.insert(path, None);
        } else {
            found.insert(path, Some(fs::read(entry.path()).expect("the file can be read")));
        }
    }
}

/// Copies a tree.
///
/// # Panics
///
/// If it cannot be copied.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the directory can be made");
    for (path, content) in tree(from) {
        let target = to.join(path);
        match content {
            None => fs::create_dir_all(target).expect("the directory can be made"),
            Some(bytes) => {
                fs::create_dir_all(target.parent().expect("it has a parent"))
                    .expect("the directory can be made");
                fs::write(target, bytes).expect("the file can be written");
            }
        }
    }
}

//! The root of the workspace, its source files, and its cargo.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Result, at};
use crate::process;

/// Directories of build results.
const NOT_SOURCES: [&str; 4] = [".git", "target", "artifacts", "coverage"];

/// The arguments of cargo that build all tests, d1oci and xtask with the same features of dependencies.
pub const BUILD_ALL: [&str; 7] = ["build", "--workspace", "--tests", "--bin", "d1oci", "--bin", "xtask"];

/// Returns the root of the workspace.
#[must_use]
pub fn root() -> &'static Path {
    const MANIFEST_DIRECTORY: &str = env!("CARGO_MANIFEST_DIR");
    Path::new(MANIFEST_DIRECTORY).parent().unwrap_or(Path::new(MANIFEST_DIRECTORY))
}

/// Returns the directory of a task below the target directory.
#[must_use]
pub fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}

/// Starts a call of cargo in the root of the workspace.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// Lists the files of the project, relative to its root, sorted: files that git tracks or would track. Where there is no
/// repository, lists all files outside the directories of build results.
///
/// # Errors
///
/// Fails when a directory cannot be read.
pub fn files() -> Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut files = match process::read(Command::new("git").args(list).current_dir(root())) {
        Ok(names) => names.split_terminator('\0').map(str::to_owned).collect(),
        Err(_) => {
            let mut found = Vec::new();
            walk(root(), "", &mut found)?;
            found
        }
    };
    // Git also lists deleted files until the deletion is committed.
    files.retain(|name| root().join(name).is_file());
    files.sort_unstable();
    files.dedup();
    Ok(files)
}

fn walk(directory: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(directory).map_err(at(directory))? {
        let entry = entry.map_err(at(directory))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let relative = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type().map_err(at(&entry.path()))?;
        if kind.is_file() {
            found.push(relative);
        } else if kind.is_dir() && !NOT_SOURCES.contains(&name.as_str()) {
            walk(&entry.path(), &relative, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{files, root, walk};

    #[test]
    fn the_files_are_sources_with_and_without_git() {
        let mut walked = Vec::new();
        walk(root(), "", &mut walked).unwrap();
        for list in [files().unwrap(), walked] {
            assert!(list.iter().any(|name| name == "xtask/src/workspace.rs"));
            assert!(list.iter().any(|name| name == ".cargo/config.toml"));
            assert!(!list.iter().any(|name| name.starts_with("target/") || name.starts_with(".git/")));
        }
    }
}

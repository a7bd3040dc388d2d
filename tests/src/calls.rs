//! The system calls of a command on files, as `strace` reports them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peers::peer;
use crate::{binary, run};

/// Calls that write to a file, with the position of the file among the arguments.
const WRITES: [(&str, usize); 7] = [
    ("write", 0),
    ("pwrite64", 0),
    ("writev", 0),
    ("pwritev", 0),
    ("ftruncate", 0),
    ("copy_file_range", 2),
    ("sendfile", 0),
];

/// The traced calls. Names that this machine's kernel does not have are optional (`?`).
const TRACED: &str = "trace=?write,?pwrite64,?writev,?pwritev,?ftruncate,?copy_file_range,?sendfile,?fsync,?fdatasync,\
                      ?syncfs,?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat";

/// The files and directories of a command that were not on the disk when they had to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unsynced {
    /// Files that got their final name before their content was synced.
    pub renamed_early: BTreeSet<String>,
    /// Files that were written, and directories whose entries changed, without a sync before the end.
    pub at_end: BTreeSet<String>,
}

/// Runs `d1oci` in a directory under `strace` to its success. Returns the violations of the order of syncs below the
/// directory, or `None` if `strace` is not installed.
///
/// # Panics
///
/// If the command fails.
pub fn unsynced(place: &Path, arguments: &[&str]) -> Option<Unsynced> {
    let strace = peer("strace")?;
    let log = tempfile::NamedTempFile::new().expect("a file can be made");
    let mut command = Command::new(strace);
    command.args(["-f", "-y", "-s", "0", "-e", TRACED, "-e", "signal=none", "-o"]).arg(log.path());
    command.arg(binary()).args(arguments).current_dir(place);
    run(&mut command).success();
    let text = fs::read_to_string(log.path()).expect("strace writes a log");
    let place = place.canonicalize().expect("the directory exists");
    Some(Order::of(&text, &place.to_string_lossy()))
}

/// The state of files and directories after a call.
#[derive(Default)]
struct Order {
    dirty: BTreeSet<String>,
    found: Unsynced,
}

impl Order {
    fn of(log: &str, place: &str) -> Unsynced {
        let mut order = Self::default();
        for line in log.lines() {
            // Each line begins with the number of a thread.
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(resumed) = call.strip_prefix("<... ") {
                // A sync counts when it is done. The log has its file in the line of its beginning.
                if let Some((name, _)) = resumed.split_once(" resumed>").filter(|_| resumed.ends_with("= 0"))
                {
                    let begun = format!("{name}(");
                    let start = |line: &&str| {
                        let rest = line.strip_prefix(thread).map(str::trim_start);
                        rest.is_some_and(|rest| {
                            rest.starts_with(&begun) && rest.ends_with("<unfinished ...>")
                        })
                    };
                    let before = log.lines().take_while(|other| !std::ptr::eq(*other, line));
                    if let Some(start) = before.filter(start).last() {
                        order.finish_sync(name, start);
                    }
                }
                continue;
            }
            let Some((name, rest)) = call.split_once('(') else { continue };
            order.begin(name, rest, place);
            if call.ends_with("= 0") {
                order.finish_sync(name, rest);
            }
        }
        order.found.at_end = order.dirty;
        order.found
    }

    fn begin(&mut self, name: &str, rest: &str, place: &str) {
        let is_ours = |path: &String| path.starts_with(place) && !path.ends_with("(deleted)");
        if let Some((_, position)) = WRITES.iter().find(|(write, _)| *write == name) {
            self.dirty.extend(descriptors(rest).into_iter().nth(*position).filter(is_ours));
        } else if name.starts_with("rename") || name.starts_with("link") {
            if let [old, new] = paths(rest, place).as_slice() {
                self.rename(old, new, name.starts_with("rename"));
            }
        } else if name.starts_with("unlink")
            && let [path] = paths(rest, place).as_slice()
        {
            self.dirty.remove(path);
        }
    }

    fn rename(&mut self, old: &str, new: &str, moves: bool) {
        let below = format!("{old}/");
        let moved: Vec<_> =
            self.dirty.iter().filter(|path| *path == old || path.starts_with(&below)).cloned().collect();
        for path in moved {
            let target = format!("{new}{}", &path[old.len()..]);
            // A directory within a renamed one is synced with the rest, before the end. A file in a staging directory still has no
            // final name.
            if !path.ends_with('/') && !is_staged(&target) {
                self.found.renamed_early.insert(target.clone());
            }
            if moves {
                self.dirty.remove(&path);
            }
            self.dirty.insert(target);
        }
        if let Some((parent, _)) = new.rsplit_once('/') {
            self.dirty.insert(format!("{parent}/"));
        }
    }

    fn finish_sync(&mut self, name: &str, rest: &str) {
        match name {
            "syncfs" => self.dirty.clear(),
            "fsync" | "fdatasync" => {
                for path in descriptors(rest) {
                    self.dirty.remove(&path);
                    self.dirty.remove(&format!("{path}/"));
                }
            }
            _ => {}
        }
    }
}

/// Tells whether a file is in a directory with a hidden name, in which it waits for its final name.
fn is_staged(path: &str) -> bool {
    path.split('/').rev().skip(1).any(|name| name.starts_with(".d1oci-") || name.starts_with(".part-"))
}

/// Returns the paths of the file descriptors among the arguments: `5</a/b>`.
fn descriptors(arguments: &str) -> Vec<String> {
    let parts = arguments.split('<').skip(1);
    parts.filter_map(|part| part.split_once('>')).map(|(path, _)| path.to_owned()).collect()
}

/// Returns the paths among the arguments, each joined to the directory before it.
fn paths(arguments: &str, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut directory = place.to_owned();
    let mut rest = arguments;
    while let Some(start) = rest.find(['<', '"']) {
        let (end, is_directory) = if rest[start..].starts_with('<') { ('>', true) } else { ('"', false) };
        let text = &rest[start + 1..];
        let Some((path, after)) = text.split_once(end) else { break };
        if is_directory {
            path.clone_into(&mut directory);
        } else if path.starts_with('/') {
            found.push(path.to_owned());
        } else {
            found.push(format!("{directory}/{path}"));
        }
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Order;

    fn found(log: &str) -> (Vec<String>, Vec<String>) {
        let found = Order::of(log, "/x");
        (found.renamed_early.into_iter().collect(), found.at_end.into_iter().collect())
    }

    #[test]
    fn a_synced_file_in_a_synced_directory_is_right() {
        let log = "1 write(3</x/.tmp>, \"\"..., 5) = 5\n\
                   1 fsync(3</x/.tmp>) = 0\n\
                   1 renameat2(4</x>, \".tmp\", 4</x>, \"a\", RENAME_NOREPLACE) = 0\n\
                   1 fsync(4</x>) = 0\n";
        assert_eq!(found(log), (vec![], vec![]));
    }

    #[test]
    fn a_file_that_is_renamed_before_its_sync_is_found() {
        let log = "1 write(3</x/b/c>, \"\"..., 5) = 5\n\
                   2 fsync(3</x/b/c> <unfinished ...>\n\
                   1 rename(\"b\", \"d\") = 0\n\
                   2 <... fsync resumed>) = 0\n\
                   1 syncfs(4</x>) = 0\n";
        assert_eq!(found(log), (vec!["/x/d/c".to_owned()], vec![]));
    }

    #[test]
    fn a_file_and_a_directory_without_a_sync_are_found_at_the_end() {
        let log = "1 write(3</x/.tmp>, \"\"..., 5) = 5\n\
                   1 fsync(3</x/.tmp>) = -1 EIO\n\
                   1 rename(\"/x/.tmp\", \"/x/a\") = 0\n\
                   1 write(1</dev/pts/0>, \"\"..., 5) = 5\n";
        assert_eq!(found(log).1, ["/x/", "/x/a"]);
        let unlinked = "1 write(3</x/a>, \"\"..., 5) = 5\n1 unlink(\"/x/a\") = 0\n";
        assert_eq!(found(unlinked), (vec![], vec![]));
    }
}

//! One side of a row, with all placeholders filled in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::rows::{Call, Contender};
use super::server::Server;
use crate::error::{Result, about, at};
use crate::peers;

/// The wanted size of the file `{member}`.
const MEMBER_SIZE: u64 = 10 << 20;

/// Paths below a directory, with the sizes of files; directories have none.
pub(super) type Listing = BTreeMap<PathBuf, Option<u64>>;

/// Finds the place of a program by its name.
pub(super) type Find<'a> = dyn Fn(&str) -> Option<PathBuf> + 'a;

/// The work of a side, and its directories.
pub(super) struct Task {
    /// The bag that the command works on.
    pub(super) bag: PathBuf,
    /// One of its payload files, below the bag.
    pub(super) member: PathBuf,
    pub(super) store: PathBuf,
    pub(super) out: PathBuf,
    pub(super) server: Option<Server>,
    /// The directory for temporary files.
    pub(super) temporary: PathBuf,
    pub(super) room: PathBuf,
    setup: Option<Line>,
    fresh: Option<PathBuf>,
    /// The command that is timed.
    pub(super) line: Line,
    /// The same command over a link that counts.
    pub(super) counted: Line,
    /// The working directory of commands: the parent of the bag.
    directory: PathBuf,
}

/// A program with its arguments, all of them filled in.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
}

impl Task {
    /// Fills in the placeholders. `room` is a directory of the side's own.
    pub(super) fn new(
        contender: &Contender,
        bag: &Path,
        room: &Path,
        server: Option<Server>,
        tags: u64,
        find: &Find<'_>,
    ) -> Result<Self> {
        let room = std::path::absolute(room).map_err(at(room))?;
        let (store, out, temporary) = (room.join("store"), room.join("out"), room.join("tmp"));
        fs::create_dir_all(&temporary).map_err(at(&temporary))?;
        let member = member(bag)?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let name = bag.file_name().unwrap_or(bag.as_os_str());
        let mut places = vec![
            ("{bag}", text(Path::new(name))),
            ("{member}", text(&member)),
            ("{store}", text(&store)),
            ("{out}", text(&out)),
            ("{tags}", tags.to_string()),
        ];
        let mut counted = places.clone();
        if let Some(server) = &server {
            let shared = [("{direct}", server.address.to_string()), ("{data}", text(&server.data))];
            places.push(("{registry}", server.measured().to_string()));
            counted.push(("{registry}", server.counted().to_string()));
            places.extend(shared.clone());
            counted.extend(shared);
        }
        let fresh = (!contender.fresh.is_empty()).then(|| PathBuf::from(fill(contender.fresh, &places)));
        Ok(Self {
            bag: bag.to_path_buf(),
            directory: bag.parent().ok_or("a bag has a parent")?.to_path_buf(),
            setup: contender.setup.map(|call| Line::new(&call, &places, find)).transpose()?,
            line: Line::new(&contender.call, &places, find)?,
            counted: Line::new(&contender.call, &counted, find)?,
            member,
            store,
            out,
            server,
            temporary,
            room,
            fresh,
        })
    }

    /// Runs the call that prepares all runs.
    pub(super) fn set_up(&self) -> Result<()> {
        self.setup.as_ref().map_or(Ok(()), |line| self.succeed(line))
    }

    /// Removes the result of an earlier run.
    pub(super) fn freshen(&self) -> Result<()> {
        match self.fresh.as_deref() {
            Some(fresh) if fresh.is_dir() => fs::remove_dir_all(fresh).map_err(at(fresh)),
            Some(fresh) if fresh.exists() => fs::remove_file(fresh).map_err(at(fresh)),
            _ => Ok(()),
        }
    }

    /// Runs the command again. Returns whether it succeeded.
    pub(super) fn run_again(&self) -> Result<bool> {
        let status = self.command(&self.line).status().map_err(about(self.line.for_shell()))?;
        Ok(status.success())
    }

    /// Runs a line in the command's directory; fails if the line fails.
    pub(super) fn succeed(&self, line: &Line) -> Result<()> {
        let output = self.command(line).stderr(Stdio::piped()).output().map_err(about(line.for_shell()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {}\n{}", line.for_shell(), output.status, said.trim_end()).into())
    }

    /// Prepares a command with the directory and the environment of the measured one.
    pub(super) fn command(&self, line: &Line) -> Command {
        let mut command = Command::new(&line.program);
        command.args(&line.arguments).current_dir(&self.directory).env("TMPDIR", &self.temporary);
        command.envs(self.server.iter().flat_map(Server::environment));
        command.env("XDG_CACHE_HOME", &self.temporary).env("XDG_STATE_HOME", &self.temporary);
        // Scripts find the peers by their names.
        let path = std::env::var_os("PATH").unwrap_or_default();
        let places = std::iter::once(peers::directory()).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(places) {
            command.env("PATH", path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Line {
    fn new(call: &Call, places: &[(&str, String)], find: &Find<'_>) -> Result<Self> {
        let program = find(call.program).ok_or_else(|| format!("no {}", call.program))?;
        let program = std::path::absolute(&program).map_err(at(&program))?;
        let arguments = call.arguments.iter().map(|word| fill(word, places)).collect();
        Ok(Self { program, arguments })
    }

    /// Returns the line with the quotes that a shell needs.
    pub(super) fn for_shell(&self) -> String {
        let program = self.program.to_string_lossy();
        let words = std::iter::once(program.as_ref()).chain(self.arguments.iter().map(String::as_str));
        words.map(quote).collect::<Vec<_>>().join(" ")
    }
}

/// Finds the payload file whose size is nearest to [`MEMBER_SIZE`].
fn member(bag: &Path) -> Result<PathBuf> {
    let payload = list(&bag.join("data"))?;
    let files = payload.into_iter().filter_map(|(path, size)| Some((path, size?)));
    let nearest = files.min_by_key(|(_, size)| size.abs_diff(MEMBER_SIZE));
    Ok(Path::new("data").join(nearest.ok_or("the bag has no payload")?.0))
}

/// Lists all files and directories below the directory.
pub(super) fn list(directory: &Path) -> Result<Listing> {
    let mut listing = Listing::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(prefix) = waiting.pop() {
        let parent = directory.join(&prefix);
        for entry in fs::read_dir(&parent).map_err(at(&parent))? {
            let entry = entry.map_err(at(&parent))?;
            let path = prefix.join(entry.file_name());
            let metadata = entry.metadata().map_err(at(&entry.path()))?;
            if metadata.is_dir() {
                waiting.push(path.clone());
            }
            listing.insert(path, metadata.is_file().then_some(metadata.len()));
        }
    }
    Ok(listing)
}

fn fill(word: &str, places: &[(&str, String)]) -> String {
    places.iter().fold(word.to_owned(), |word, (place, value)| word.replace(place, value))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Task, quote};
    use crate::bench::rows::{Call, Check, Contender};

    /// Makes a task that runs `sh` in a room with an empty bag.
    pub(in crate::bench) fn task(room: &Path, arguments: &'static [&'static str]) -> Task {
        let bag = room.join("a bag");
        fs::create_dir_all(bag.join("data")).unwrap();
        fs::write(bag.join("data/file"), "text").unwrap();
        let sh = |arguments| Call { program: "sh", arguments };
        let contender = Contender {
            name: "sh",
            setup: Some(sh(&["-c", "mkdir '{store}'"])),
            fresh: "{out}",
            call: sh(arguments),
            check: Check::OutHoldsBag,
        };
        Task::new(&contender, &bag, room, None, 1, &|_| Some("/bin/sh".into())).unwrap()
    }

    #[test]
    fn a_task_runs_beside_its_bag_and_afresh() {
        let room = tempfile::tempdir().unwrap();
        let script = "test -f '{bag}/{member}' && test -d '{store}' && mkdir '{out}' && test -d \"$TMPDIR\"";
        let task = task(room.path(), Box::leak(Box::new(["-c", script])));
        task.set_up().unwrap();
        assert!(task.run_again().unwrap());
        assert!(!task.run_again().unwrap(), "{} is still there", task.out.display());
        task.freshen().unwrap();
        assert!(task.run_again().unwrap());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let room = tempfile::tempdir().unwrap();
        fs::create_dir_all(room.path().join("bag/data")).unwrap();
        fs::write(room.path().join("bag/data/file"), "text").unwrap();
        let call = Call { program: "nothing", arguments: &[] };
        let contender =
            Contender { name: "nothing", setup: None, fresh: "", call, check: Check::RefusesDamage };
        let task = Task::new(&contender, &room.path().join("bag"), room.path(), None, 1, &|_| None);
        assert_eq!(task.err().unwrap().to_string(), "no nothing");
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quote("it's here"), "'it'\\''s here'");
    }
}

//! One round: a command in trouble, the state it leaves, and the same command without trouble.

use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use d1_testnode::ScriptedNode;
use registry_testkit::scripted::ScriptedRegistry;
use tempfile::TempDir;

use super::chance::Chance;
use super::check::{Tags, layout_tags, registry_tags, unchanged};
use super::disk::SmallDisk;
use super::files::{shift_times, size_of, tear};
use super::task::{Side, Task};
use super::trouble::{PATIENCE, Trouble};
use super::world::{Beginnings, ENCODED, PASSWORD};
use crate::{Outcome, binary};

/// The size of a disk that is large enough, in bytes.
const ENOUGH: u64 = 256 << 20;

/// How long the command may take when nothing is wrong.
const QUIET_PATIENCE: Duration = Duration::from_secs(120);

/// What happened in a round.
#[derive(Debug, Default)]
pub struct Report {
    /// The command and what went wrong.
    pub scene: String,
    /// The exit code of the command in trouble; `None` if it was killed.
    pub code: Option<i32>,
    /// What the command wrote to standard error.
    pub said: String,
    /// A kind of trouble that this machine cannot make, and why.
    pub skipped: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "killed".to_owned(), |code| format!("exit code {code}"));
        write!(formatter, "{}: {code}\n{}", self.scene, self.said)
    }
}

/// A round before it is run.
pub(super) struct Round<'a> {
    beginnings: &'a Beginnings,
    place: TempDir,
    registry: ScriptedRegistry,
    node: ScriptedNode,
    task: Task,
    trouble: Trouble,
    talkative: bool,
}

impl<'a> Round<'a> {
    pub(super) fn new(beginnings: &'a Beginnings, seed: u64, number: u64) -> Self {
        let mut chance = Chance::new(seed, number);
        let place = tempfile::tempdir().expect("a folder can be made");
        let task = Task::choose(&mut chance);
        let trouble = Trouble::choose(&mut chance);
        let registry = beginnings.registry(&mut chance, place.path());
        let node = beginnings.node();
        Self { beginnings, place, registry, node, task, trouble, talkative: chance.percent(20) }
    }

    pub(super) fn run(&self, report: &mut Report) -> Result<(), String> {
        report.scene = format!("{:?} in {:?}", self.task, self.trouble);
        let room = self.place.path().join("room");
        let disk = self.small_disk(&room, report);
        self.beginnings.copy_layout(&room.join("store"));
        if matches!(self.task, Task::Prune) {
            // Something to remove.
            self.command(&room, &["delete", "oci:ROOM/store:second", "--artifact"]);
        }
        let before = self.tags(&room)?;
        if let (Some(disk), Some(free)) = (&disk, self.trouble.room) {
            disk.resize(size_of(&room) + free)?;
        }
        self.trouble.faults.iter().for_each(|fault| self.registry.add_fault(fault.clone()));
        self.trouble.node_faults.iter().for_each(|fault| self.node.add_fault(fault.clone()));
        let patience = self.trouble.kill.unwrap_or(PATIENCE);
        let outcome = self.task_command(&room, patience);
        self.registry.forget_faults();
        self.node.clear_faults();
        if let Some(outcome) = &outcome {
            report.code = Some(outcome.code);
            report.said.clone_from(&outcome.stderr);
            self.check_words(outcome)?;
        }
        self.check_state(&room, &before)?;
        if let Some(disk) = &disk {
            disk.resize(ENOUGH)?;
        }
        if outcome.is_some_and(|outcome| outcome.code == 0) {
            self.missing_result(&room)
                .map_err(|message| format!("it said that it is done, but {message}"))?;
        }
        self.trouble
            .clock
            .map_or(Ok(()), |seconds| shift_times(self.place.path(), seconds))
            .map_err(words)?;
        if self.trouble.torn {
            tear(&room).map_err(words)?;
        }
        let again = self.task_command(&room, QUIET_PATIENCE).ok_or("the second run does not end")?;
        self.check_words(&again)?;
        if again.code != 0 {
            return Err(format!("the second run ends with {}: {}", again.code, again.stderr));
        }
        self.check_state(&room, &before)?;
        self.missing_result(&room).map_err(|message| format!("after the second run {message}"))
    }

    fn small_disk(&self, room: &Path, report: &mut Report) -> Option<SmallDisk> {
        self.trouble.room?;
        SmallDisk::mount(room, ENOUGH).map_err(|reason| report.skipped = Some(reason)).ok()
    }

    fn tags(&self, room: &Path) -> Result<(Tags, Tags), String> {
        Ok((layout_tags(&room.join("store"))?, registry_tags(&self.registry)?))
    }

    /// Checks that all that was there is there, and that nothing wrong has a final name.
    fn check_state(&self, room: &Path, before: &(Tags, Tags)) -> Result<(), String> {
        let after = self.tags(room)?;
        let written = |side| {
            let writes = self.task.writes(self.beginnings).filter(|(at, _)| *at == side);
            writes.map(|(_, tags)| tags).unwrap_or_default()
        };
        unchanged(&before.0, &after.0, &written(Side::Layout))?;
        unchanged(&before.1, &after.1, &written(Side::Registry))?;
        self.task.wrong_files(self.beginnings, room)
    }

    fn missing_result(&self, room: &Path) -> Result<(), String> {
        self.task.missing_result(self.beginnings, room, &|reference, out| {
            let out = out.to_string_lossy();
            let pulled = self.command(room, &["pull", reference, "-o", &out]);
            if pulled.code == 0 { Ok(()) } else { Err(format!("it cannot be pulled: {}", pulled.stderr)) }
        })
    }

    /// Checks that the command ended as commands end, and shows no secret.
    fn check_words(&self, outcome: &Outcome) -> Result<(), String> {
        let said = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
        if said.contains("panicked") || ![0, 1, 3, 4, 5, 6].contains(&outcome.code) {
            return Err(format!("it ends with {}: {said}", outcome.code));
        }
        if said.contains(PASSWORD) || said.contains(ENCODED) || said.contains("Bearer ey") {
            return Err(format!("it shows a secret: {said}"));
        }
        if outcome.code != 0 && !outcome.stderr.contains("error: ") {
            return Err(format!("it fails without a reason: {said}"));
        }
        Ok(())
    }

    fn task_command(&self, room: &Path, patience: Duration) -> Option<Outcome> {
        let mut arguments = self.task.arguments(self.beginnings);
        if self.talkative {
            arguments.push("-vv".to_owned());
        }
        run_for(&mut self.prepare(room, &arguments), patience)
    }

    fn command(&self, room: &Path, arguments: &[&str]) -> Outcome {
        crate::run(&mut self.prepare(room, arguments))
    }

    fn prepare<S: AsRef<str>>(&self, room: &Path, arguments: &[S]) -> Command {
        let mut command = Command::new(binary());
        let room = room.to_string_lossy();
        let node = self.node.member_url();
        let fill = |text: &S| {
            let text = text.as_ref().replace("ROOM", &room).replace("HOST", self.registry.host());
            text.replace("NODE", &node)
        };
        command.args(arguments.iter().map(fill));
        command.env_clear().env("HOME", self.place.path()).current_dir(self.place.path());
        command
    }
}

fn words(error: std::io::Error) -> String {
    error.to_string()
}

/// Runs a command for so long; `None` if it had to be killed.
fn run_for(command: &mut Command, patience: Duration) -> Option<Outcome> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name| File::create(folder.path().join(name)).expect("a file can be made");
    command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
    let mut child = command.spawn().expect("the binary starts");
    let end = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
            return None;
        }
        sleep(left.min(Duration::from_millis(2)));
    };
    let read = |name| fs::read(folder.path().join(name)).expect("what was written can be read");
    let stderr = String::from_utf8_lossy(&read("err")).into_owned();
    Some(Outcome { code: status.code().unwrap_or(-1), stdout: read("out"), stderr })
}

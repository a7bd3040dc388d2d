//! One round: a command with faults, the state after it, and the same command without faults.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use d1_testnode::ScriptedNode;
use registry_conformance::scripted::ScriptedRegistry;
use tempfile::TempDir;

use super::chance::Chance;
use super::check::{REPOSITORY, Tags, layout_tags, registry_tags, unchanged};
use super::disk::SmallDisk;
use super::files::{shift_times, size_of, tear};
use super::loss::Loss;
use super::patience::run_for;
use super::planted::Planted;
use super::report::Report;
use super::task::{Side, Task};
use super::trouble::{PATIENCE, Stop, Trouble};
use super::world::{Beginnings, ENCODED, PASSWORD};
use crate::{Link, Outcome, binary};

/// The size of a disk that is large enough, in bytes.
const ENOUGH: u64 = 256 << 20;

/// The time limit of a command without faults.
const QUIET_PATIENCE: Duration = Duration::from_secs(120);

/// The time limit of a command that must give up, or must survive a short loss of the link.
const ALONE_PATIENCE: Duration = Duration::from_secs(60);

/// A configuration with short time limits.
const HASTY: &str = "\
[host.\"HOST\"]
connect-timeout = 1
silence-timeout = 1
commit-timeout = 1
attempts = 2

[dataone]
connect-timeout = 1
answer-timeout = 1
silence-timeout = 1
attempts = 2
";

/// A round before it is run.
pub(super) struct Round<'a> {
    beginnings: &'a Beginnings,
    place: TempDir,
    registry: ScriptedRegistry,
    node: ScriptedNode,
    task: Task,
    trouble: Trouble,
    talkative: bool,
    loss: Option<Loss>,
    link: Option<Result<Link, String>>,
}

impl<'a> Round<'a> {
    pub(super) fn new(beginnings: &'a Beginnings, seed: u64, number: u64) -> Self {
        let mut chance = Chance::new(seed, number);
        let place = tempfile::tempdir().expect("a folder can be made");
        let task = Task::choose(&mut chance);
        let mut trouble = Trouble::choose(&mut chance);
        let registry = beginnings.registry(&mut chance, place.path());
        let node = beginnings.node();
        let talkative = chance.percent(20);
        let loss = (task.is_remote() && chance.percent(35)).then(|| Loss::choose(&mut chance));
        if loss.as_ref().is_some_and(|loss| loss.is_alone) {
            trouble.leave_alone();
        }
        let hasty = HASTY.replace("HOST", registry.host());
        fs::write(place.path().join("hasty.toml"), hasty).expect("the file can be written");
        let mut round =
            Self { beginnings, place, registry, node, task, trouble, talkative, loss, link: None };
        round.link = round.loss.as_ref().map(|_| round.lay_link());
        round
    }

    pub(super) fn run(&self, report: &mut Report) -> Result<(), String> {
        report.scene = format!("{:?} in {:?} and {:?}", self.task, self.trouble, self.loss);
        if let Some(Err(reason)) = &self.link {
            report.skipped.push(format!("a lost link: {reason}"));
        }
        let room = self.place.path().join("room");
        let disk = self.small_disk(&room, report);
        self.beginnings.copy_layout(&room.join("store"));
        if matches!(self.task, Task::Prune) {
            // Something to remove.
            self.command(&room, &["delete", "oci:ROOM/store:second", "--artifact"]);
        }
        let before = self.tags(&room)?;
        let planted = self.trouble.planted.then(|| Planted::in_room(&room, self.place.path())).transpose();
        let planted = planted.map_err(words)?;
        if let (Some(disk), Some(free)) = (&disk, self.trouble.room) {
            disk.resize(size_of(&room) + free)?;
        }
        self.trouble.faults.iter().for_each(|fault| self.registry.add_fault(fault.clone()));
        self.trouble.node_faults.iter().for_each(|fault| self.node.add_fault(fault.clone()));
        let outcome = self.command_in_trouble(&room, report)?;
        if let Some(planted) = planted {
            planted.check()?;
        }
        if outcome.as_ref().is_some_and(|outcome| [130, 143].contains(&outcome.code)) {
            no_temporary_files(&room)?;
        }
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
            self.missing_result(&room).map_err(|message| format!("it reported success, but {message}"))?;
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

    /// Creates a link and checks that packets pass: a firewall may block them.
    fn lay_link(&self) -> Result<Link, String> {
        let link = Link::lay()?;
        let mut look = link.command(binary());
        self.fill(&mut look, self.place.path(), &["tags", &format!("HOST/{REPOSITORY}")]);
        self.make_hasty(&mut look);
        let seen = crate::run(&mut look);
        if seen.code == 0 { Ok(link) } else { Err("the network blocks all packets".to_owned()) }
    }

    fn small_disk(&self, room: &Path, report: &mut Report) -> Option<SmallDisk> {
        self.trouble.room?;
        SmallDisk::mount(room, ENOUGH)
            .map_err(|reason| report.skipped.push(format!("a full disk: {reason}")))
            .ok()
    }

    fn tags(&self, room: &Path) -> Result<(Tags, Tags), String> {
        Ok((layout_tags(&room.join("store"))?, registry_tags(&self.registry)?))
    }

    /// Checks that all earlier content exists, and that no wrong file has a final name.
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

    /// Checks that the command ended in a documented way and shows no secret.
    fn check_words(&self, outcome: &Outcome) -> Result<(), String> {
        let said = format!("{}{}", String::from_utf8_lossy(&outcome.stdout), outcome.stderr);
        if said.contains("panicked") || ![0, 1, 3, 4, 5, 6, 130, 143].contains(&outcome.code) {
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

    /// Runs the command, during the loss of the link if the round has one. Returns `None` for a killed command.
    fn command_in_trouble(&self, room: &Path, report: &mut Report) -> Result<Option<Outcome>, String> {
        let mut command = self.prepare_task(room);
        let Some((loss, link)) = self.loss.as_ref().zip(self.link()) else {
            return Ok(run_for(&mut command, self.trouble.kill.unwrap_or(PATIENCE), self.trouble.signal));
        };
        if loss.is_hasty {
            self.make_hasty(&mut command);
        }
        let patience = if loss.is_alone { ALONE_PATIENCE } else { self.trouble.kill.unwrap_or(PATIENCE) };
        let signal = if loss.is_alone { Stop::Kill } else { self.trouble.signal };
        let (outcome, lost) = loss.during(link, || run_for(&mut command, patience, signal));
        report.has_lost_link = lost?;
        match &outcome {
            None if loss.is_alone => Err("it waits for a lost link forever".to_owned()),
            Some(outcome) if loss.is_survived() && outcome.code != 0 => {
                Err(format!("it does not survive a short loss of the link: {}", outcome.stderr))
            }
            _ => Ok(outcome),
        }
    }

    fn link(&self) -> Option<&Link> {
        self.link.as_ref()?.as_ref().ok()
    }

    fn task_command(&self, room: &Path, patience: Duration) -> Option<Outcome> {
        run_for(&mut self.prepare_task(room), patience, Stop::Kill)
    }

    fn prepare_task(&self, room: &Path) -> Command {
        let mut arguments = self.task.arguments(self.beginnings);
        if self.talkative {
            arguments.push("-vv".to_owned());
        }
        self.prepare(room, &arguments)
    }

    fn command(&self, room: &Path, arguments: &[&str]) -> Outcome {
        crate::run(&mut self.prepare(room, arguments))
    }

    fn prepare<S: AsRef<str>>(&self, room: &Path, arguments: &[S]) -> Command {
        let mut command = self.link().map_or_else(|| Command::new(binary()), |link| link.command(binary()));
        self.fill(&mut command, room, arguments);
        command
    }

    /// Adds the arguments to a command, and the environment.
    fn fill<S: AsRef<str>>(&self, command: &mut Command, room: &Path, arguments: &[S]) {
        let room = room.to_string_lossy();
        let node = self.node.member_url();
        let fill = |text: &S| {
            let text = text.as_ref().replace("ROOM", &room).replace("HOST", self.registry.host());
            text.replace("NODE", &node)
        };
        command.args(arguments.iter().map(fill));
        command.env_clear().env("HOME", self.place.path()).current_dir(self.place.path());
    }

    fn make_hasty(&self, command: &mut Command) {
        command.env("D1OCI_CONFIG", self.place.path().join("hasty.toml"));
    }
}

/// Checks that an interrupted command has deleted its temporary files. Those of a pull are for the next one.
fn no_temporary_files(room: &Path) -> Result<(), String> {
    let is_temporary = |path: &&String| {
        let names = ["ingest/", ".d1oci-export-", ".d1oci-replicate-", ".part-"];
        names.iter().any(|name| path.contains(name)) && !path.ends_with('/')
    };
    match crate::tree(room).keys().find(is_temporary) {
        Some(path) => Err(format!("the interrupted command leaves `{path}`")),
        None => Ok(()),
    }
}

fn words(error: std::io::Error) -> String {
    error.to_string()
}

//! What is measured: one entry per row of the table.
//!
//! In commands, `{bag}` is the bag, named as seen from the directory that the command runs in; `{store}` and `{out}` are
//! directories that each side has for itself.

use crate::sample::Kind;

/// The name of the program that all rows are about.
pub(super) const OURS: &str = "d1oci";

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    pub(super) id: &'static str,
    /// What is done, in the words of the table.
    pub(super) work: &'static str,
    pub(super) sample: SampleSize,
    pub(super) ours: Contender,
    pub(super) peer: Contender,
    pub(super) check: Check,
    pub(super) target: Target,
}

/// Says which bag a row works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleSize {
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) files: u64,
}

/// What one side does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Contender {
    pub(super) program: &'static str,
    /// Arguments of a run that comes before all others; empty if there is none.
    pub(super) setup: &'static [&'static str],
    /// The directory that is removed before every run; empty if there is none.
    pub(super) fresh: &'static str,
    /// Arguments of the runs that are measured.
    pub(super) command: &'static [&'static str],
}

/// How it is made sure that a side did the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// `oras pull` of `{store}` gives the bag.
    StoreHoldsBag,
    /// `{store}` has the content that it had before, and `oras pull` of it gives the bag.
    StoreUnchanged,
    /// `{out}` holds the bag.
    OutHoldsBag,
    /// With one byte of the payload changed, the command fails.
    RefusesDamage,
}

/// What the ratio of d1oci to its peer should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) of: Quantity,
    pub(super) at_most: f64,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantity {
    /// The time on the clock.
    Wall,
    /// The time of all processors.
    Cpu,
}

const LARGE: SampleSize = SampleSize { kind: Kind::Mooring, size: 1 << 30, files: 64 };
const SMALL_FILES: SampleSize = SampleSize { kind: Kind::Small, size: 20_000 * 4096, files: 20_000 };

const PUSH_ARCHIVE: &[&str] = &["push", "oci:{store}:v1", "{bag}", "--layout", "archive"];
const PUSH_OBJECTS: &[&str] = &["push", "oci:{store}:v1", "{bag}", "--layout", "objects"];
const PULL: &[&str] = &["pull", "oci:{store}:v1", "-o", "{out}"];
const VALIDATE: &[&str] = &["bag", "validate", "{bag}"];

const ORAS_PUSH: &[&str] =
    &["push", "--oci-layout", "{store}:v1", "--artifact-type", "application/bagit-1.0", "{bag}"];
pub(super) const ORAS_PULL: &[&str] = &["pull", "--oci-layout", "{store}:v1", "-o", "{out}"];
const BAGIT_VALIDATE: &[&str] = &["--validate", "--quiet", "--processes", "2", "{bag}"];

const fn first_push(program: &'static str, command: &'static [&'static str]) -> Contender {
    Contender { program, setup: &[], fresh: "{store}", command }
}

const fn second_push(program: &'static str, command: &'static [&'static str]) -> Contender {
    Contender { program, setup: command, fresh: "", command }
}

const fn pull(
    program: &'static str,
    setup: &'static [&'static str],
    command: &'static [&'static str],
) -> Contender {
    Contender { program, setup, fresh: "{out}", command }
}

const fn validate(program: &'static str, command: &'static [&'static str]) -> Contender {
    Contender { program, setup: &[], fresh: "", command }
}

const fn wall(at_most: f64) -> Target {
    Target { of: Quantity::Wall, at_most }
}

/// All rows, in the order of the table.
pub(super) const ROWS: &[Row] = &[
    Row {
        id: "push-archive",
        work: "push 1 GiB of CSV to a layout, as an archive",
        sample: LARGE,
        ours: first_push(OURS, PUSH_ARCHIVE),
        peer: first_push("oras", ORAS_PUSH),
        check: Check::StoreHoldsBag,
        target: wall(0.2),
    },
    Row {
        id: "push-objects",
        work: "push 1 GiB of CSV to a layout, as objects",
        sample: LARGE,
        ours: first_push(OURS, PUSH_OBJECTS),
        peer: first_push("oras", ORAS_PUSH),
        check: Check::StoreHoldsBag,
        target: wall(0.2),
    },
    Row {
        id: "push-again",
        work: "push the same archive a second time",
        sample: LARGE,
        ours: second_push(OURS, PUSH_ARCHIVE),
        peer: second_push("oras", ORAS_PUSH),
        check: Check::StoreUnchanged,
        target: wall(0.2),
    },
    Row {
        id: "pull-archive",
        work: "pull 1 GiB of CSV, an archive",
        sample: LARGE,
        ours: pull(OURS, PUSH_ARCHIVE, PULL),
        peer: pull("oras", ORAS_PUSH, ORAS_PULL),
        check: Check::OutHoldsBag,
        target: wall(0.5),
    },
    Row {
        id: "pull-objects",
        work: "pull 1 GiB of CSV, objects",
        sample: LARGE,
        ours: pull(OURS, PUSH_OBJECTS, PULL),
        peer: pull("oras", ORAS_PUSH, ORAS_PULL),
        check: Check::OutHoldsBag,
        target: wall(0.7),
    },
    Row {
        id: "push-small",
        work: "push 20,000 small files to a layout, as an archive",
        sample: SMALL_FILES,
        ours: first_push(OURS, PUSH_ARCHIVE),
        peer: first_push("oras", ORAS_PUSH),
        check: Check::StoreHoldsBag,
        target: wall(0.3),
    },
    Row {
        id: "pull-small",
        work: "pull 20,000 small files, an archive",
        sample: SMALL_FILES,
        ours: pull(OURS, PUSH_ARCHIVE, PULL),
        peer: pull("oras", ORAS_PUSH, ORAS_PULL),
        check: Check::OutHoldsBag,
        target: wall(0.3),
    },
    Row {
        id: "validate-large",
        work: "validate a bag of 1 GiB",
        sample: LARGE,
        ours: validate(OURS, VALIDATE),
        peer: validate("bagit.py", BAGIT_VALIDATE),
        check: Check::RefusesDamage,
        target: wall(0.7),
    },
    Row {
        id: "validate-small",
        work: "validate a bag of 20,000 small files",
        sample: SMALL_FILES,
        ours: validate(OURS, VALIDATE),
        peer: validate("bagit.py", BAGIT_VALIDATE),
        check: Check::RefusesDamage,
        target: Target { of: Quantity::Cpu, at_most: 0.15 },
    },
];

impl Row {
    /// Describes the row in the words of a command line.
    pub(super) fn description(&self) -> String {
        let side = |side: &Contender| format!("{} {}", side.program, side.command.join(" "));
        let of = if self.target.of == Quantity::Wall { "wall time" } else { "CPU time" };
        format!(
            "{}: {}\n    {}\n    {}\n    at most {} of the {of}",
            self.id,
            self.work,
            side(&self.ours),
            side(&self.peer),
            self.target.at_most
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Check, OURS, ROWS};
    use crate::peers;

    #[test]
    fn rows_have_names_of_their_own_and_known_programs() {
        let ids: HashSet<_> = ROWS.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), ROWS.len());
        for row in ROWS {
            assert_eq!(row.ours.program, OURS);
            assert!(peers::by_name(row.peer.program).is_some(), "{}", row.id);
            assert!(row.target.at_most > 0.0);
            assert!(row.description().contains(row.work));
        }
    }

    #[test]
    fn checks_look_at_what_the_commands_write() {
        for row in ROWS {
            for side in [row.ours, row.peer] {
                let words = side.command.concat();
                let place = match row.check {
                    Check::StoreHoldsBag | Check::StoreUnchanged => "{store}",
                    Check::OutHoldsBag => "{out}",
                    Check::RefusesDamage => "{bag}",
                };
                assert!(words.contains(place), "{}: {words}", row.id);
                assert_eq!(
                    row.check == Check::StoreUnchanged,
                    !side.setup.is_empty() && side.fresh.is_empty()
                );
            }
        }
    }
}

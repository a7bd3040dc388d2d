//! Writes what was measured into the document about speed.

use std::fmt::Write;
use std::fs;
use std::process::Command;
use std::thread;

use super::measure::Measurement;
use super::rows::{Quantity, ROWS, Row};
use crate::error::{Result, at};
use crate::{console, peers, process, workspace};

/// The document.
const DOCUMENT: &str = "docs/benchmarks.md";

/// What was measured stands between these lines; everything else in the document is written by people.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// The beginning of a document that is not there yet.
const TITLE: &str = "# Benchmarks\n\nWritten by `cargo xtask bench`, which also makes the data and checks that both sides \
                     did the same work.\n\n";

/// What one row gave.
pub(super) struct Outcome {
    pub(super) row: &'static Row,
    pub(super) ours: Measurement,
    /// Missing if the peer is not there.
    pub(super) peer: Option<Measurement>,
}

/// Where and with what it was measured.
pub(super) struct Setting {
    lines: Vec<String>,
}

impl Setting {
    /// Looks at this machine and at the programs on it; what cannot be found out is left out.
    pub(super) fn of_this_machine(runs: u32) -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = value_of(&processor, "model name").unwrap_or("unknown processor");
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory =
            value_of(&memory, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        let memory = memory.map_or_else(String::new, |kib| format!(", {} GiB of memory", kib / (1 << 20)));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let system = process::read(Command::new("uname").args(["-s", "-r", "-m"])).unwrap_or_default();
        let commit = ["describe", "--always", "--dirty"];
        let commit = process::read(Command::new("git").args(commit).current_dir(workspace::root()))
            .unwrap_or_default();
        let compiler = process::read(Command::new("rustc").arg("-V")).unwrap_or_default();
        let lines = vec![
            format!("- machine: {processors} processors ({processor}){memory}; {}", system.trim()),
            format!("- d1oci: commit {}, release build, {}", commit.trim(), compiler.trim()),
            format!("- peers: {}", peer_versions()),
            format!("- medians of {runs} runs after one that is not measured; files in the page cache"),
        ];
        Self { lines }
    }
}

/// Returns the versions of the peers that the rows name.
fn peer_versions() -> String {
    let mut programs: Vec<_> = ROWS.iter().map(|row| row.peer.program).chain(["hyperfine"]).collect();
    programs.sort_unstable();
    programs.dedup();
    let version = |program: &&str| {
        let peer = peers::by_name(program)?;
        Some(format!(
            "{program} {}",
            peer.find().map_or("missing".to_owned(), |place| peer.version_at(&place))
        ))
    };
    programs.iter().filter_map(version).collect::<Vec<_>>().join(", ")
}

/// Returns the value of the first line `key : value`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

/// Returns the table of what was measured.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let mut text = "| work | d1oci | peer | ratio | wanted | memory of d1oci | of the peer |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for outcome in outcomes {
        let Outcome { row, ours, peer } = outcome;
        let peer_time = peer.map_or("missing".to_owned(), |peer| time(&peer, row.target.of));
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} {peer_time} | {} | ≤ {} | {} | {} |",
            row.work,
            time(ours, row.target.of),
            row.peer.program,
            ratio(outcome),
            row.target.at_most,
            memory(ours),
            peer.as_ref().map_or_else(|| "–".to_owned(), memory),
        );
    }
    text
}

fn quantity(measurement: &Measurement, of: Quantity) -> Option<f64> {
    match of {
        Quantity::Wall => Some(measurement.wall),
        Quantity::Cpu => measurement.cpu,
    }
}

fn time(measurement: &Measurement, of: Quantity) -> String {
    let suffix = if of == Quantity::Cpu { " CPU" } else { "" };
    quantity(measurement, of).map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.2} s{suffix}"))
}

fn ratio(outcome: &Outcome) -> String {
    let of = outcome.row.target.of;
    let peer = outcome.peer.and_then(|peer| quantity(&peer, of));
    match (quantity(&outcome.ours, of), peer) {
        (Some(ours), Some(peer)) if peer > 0.0 => {
            let ratio = ours / peer;
            let verdict = if ratio <= outcome.row.target.at_most { "" } else { " (missed)" };
            format!("{ratio:.2}{verdict}")
        }
        _ => "–".to_owned(),
    }
}

fn memory(measurement: &Measurement) -> String {
    measurement.peak.map_or_else(|| "–".to_owned(), |kib| format!("{} MiB", kib.div_ceil(1024)))
}

/// Puts the setting and the table into the document, in the place of those that are there.
pub(super) fn write(setting: &Setting, table: &str) -> Result<()> {
    let path = workspace::root().join(DOCUMENT);
    let present = fs::read_to_string(&path).unwrap_or_else(|_| TITLE.to_owned());
    let text = replace(&present, &format!("{}\n\n{table}", setting.lines.join("\n")));
    fs::write(&path, text).map_err(at(&path))?;
    console::note(format_args!("wrote {DOCUMENT}"));
    Ok(())
}

fn replace(document: &str, measured: &str) -> String {
    let block = format!("{BEGIN}\n{measured}{END}\n");
    match document.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?.1))) {
        Some((head, tail)) => format!("{head}{block}{}", tail.strip_prefix('\n').unwrap_or(tail)),
        None => format!("{document}{block}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, Measurement, Outcome, ROWS, Setting, replace, table, value_of};

    #[test]
    fn rows_are_told_with_their_ratio() {
        let row = |id: &str| ROWS.iter().find(|row| row.id == id).unwrap();
        let ours = Measurement { wall: 1.0, cpu: Some(2.0), peak: Some(20_000) };
        let peer = Measurement { wall: 10.0, cpu: Some(4.0), peak: None };
        let text = table(&[
            Outcome { row: row("push-archive"), ours, peer: Some(peer) },
            Outcome { row: row("validate-small"), ours, peer: Some(peer) },
            Outcome { row: row("pull-archive"), ours, peer: None },
        ]);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[2].ends_with("| 1.00 s | oras 10.00 s | 0.10 | ≤ 0.2 | 20 MiB | – |"), "{text}");
        assert!(lines[3].contains("| 2.00 s CPU | bagit.py 4.00 s CPU | 0.50 (missed) | ≤ 0.15 |"), "{text}");
        assert!(lines[4].ends_with("| 1.00 s | oras missing | – | ≤ 0.5 | 20 MiB | – |"), "{text}");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn what_people_wrote_is_kept() {
        let first = replace("# Title\n\n", "one\n");
        assert_eq!(first, format!("# Title\n\n{BEGIN}\none\n{END}\n"));
        let second = replace(&format!("{first}\nMore.\n"), "two\n");
        assert_eq!(second, format!("# Title\n\n{BEGIN}\ntwo\n{END}\n\nMore.\n"));
    }

    #[test]
    fn the_setting_names_machine_and_programs() {
        let lines = Setting::of_this_machine(5).lines.join("\n");
        for wanted in ["processors", "commit", "oras ", "bagit.py ", "medians of 5 runs"] {
            assert!(lines.contains(wanted), "{lines}");
        }
        assert_eq!(value_of("a: 1\nmodel name\t: It 5\n", "model name"), Some("It 5"));
    }
}

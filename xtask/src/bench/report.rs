//! Writes the measurements into the document about speed.

use std::fs;
use std::process::Command;
use std::thread;

use super::measure::Measurement;
use super::rows::{Quantity, ROWS, Row};
use crate::error::{Error, Result, at};
use crate::{console, peers, process, workspace};

/// The document.
const DOCUMENT: &str = "docs/benchmarks.md";

/// The measured figures are between these lines. People write the rest of the document.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// The beginning of a new document.
const TITLE: &str = "# Benchmarks\n\nWritten by `cargo xtask bench`, which also makes the data and checks that both sides \
                     did the same work.\n\n";

/// The head of the second table.
const TRAFFIC_HEAD: &str = "\nOn the wire and to disk, in one run. Bytes on the wire include the headers of requests and answers. Bytes to disk are \
     all that the command wrote, temporary files and results alike:\n\n\
     | work | side | requests | sent | received | to disk |\n|---|---|---|---|---|---|\n";

/// The outcome of one row.
pub(super) struct Outcome {
    pub(super) row: &'static Row,
    pub(super) state: State,
}

/// The state of a row.
pub(super) enum State {
    /// Of d1oci and of the peer.
    Measured(Box<Measurement>, Box<Measurement>),
    /// A program is missing.
    Skipped(&'static str),
    Failed(Error),
}

impl Outcome {
    pub(super) fn new(row: &'static Row, sides: Result<(Measurement, Measurement)>) -> Self {
        let state = match sides {
            Ok((ours, peer)) => State::Measured(Box::new(ours), Box::new(peer)),
            Err(error) => State::Failed(error),
        };
        Self { row, state }
    }

    pub(super) fn skipped(row: &'static Row, missing: &'static str) -> Self {
        Self { row, state: State::Skipped(missing) }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Returns the ratio, if both sides have the compared quantity.
    pub(super) fn ratio(&self) -> Option<f64> {
        let State::Measured(ours, peer) = &self.state else { return None };
        let of = self.row.target.of;
        let (ours, peer) = (quantity(ours, of)?, quantity(peer, of)?);
        (peer > 0.0).then(|| ours / peer)
    }

    /// Returns whether the row meets its target. A row without a measurement does.
    pub(super) fn is_met(&self) -> bool {
        let State::Measured(ours, _) = &self.state else { return true };
        let requests = ours.wire.map_or(0, |wire| wire.requests);
        self.ratio().is_none_or(|ratio| ratio <= self.row.target.at_most)
            && self.row.target.requests.is_none_or(|most| requests <= most)
    }
}

/// The machine and the programs of a measurement.
pub(super) struct Setting {
    lines: Vec<String>,
}

impl Setting {
    /// Describes this machine and its programs. Unknown facts are left out.
    pub(super) fn of_this_machine(runs: usize) -> Self {
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
            format!(
                "- medians of at most {runs} runs after one that is not measured, with fewer for what takes long (their \
                 number is in parentheses); files in the page cache"
            ),
            "- the slow link is a proxy in user space with 50 ms of delay each way and 100 Mbit/s in each direction, which \
             replaces `tc netem`: that needs root and support by the kernel; the registry 20 ms away is behind such a proxy \
             with 10 ms each way"
                .to_owned(),
            "- traffic is that of a run over a proxy that counts; what one file takes is compared with the size that \
             `gzip -6` gives it"
                .to_owned(),
        ];
        Self { lines }
    }
}

/// Returns the versions of the peers that the rows name.
fn peer_versions() -> String {
    let mut programs: Vec<_> = ROWS.iter().map(|row| row.peer.name).chain(["docker-registry"]).collect();
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

/// Returns the tables of the measurements.
pub(super) fn tables(outcomes: &[Outcome]) -> String {
    let mut text = "| work | d1oci | peer | ratio | wanted | memory of d1oci | of the peer |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    text.extend(outcomes.iter().map(line));
    let traffic: String = outcomes.iter().map(traffic).collect();
    if !traffic.is_empty() {
        text.push_str(TRAFFIC_HEAD);
        text.push_str(&traffic);
    }
    text
}

/// Returns the line of the first table.
pub(super) fn line(outcome: &Outcome) -> String {
    let row = outcome.row;
    let (work, peer_name, of, limit) = (row.work, row.peer.name, row.target.of, row.target.at_most);
    let requests = row.target.requests.map_or_else(String::new, |most| format!(", {most} requests"));
    let wanted = format!("≤ {limit}{requests}");
    let (ours, peer) = match &outcome.state {
        State::Measured(ours, peer) => (ours, peer),
        State::Skipped(missing) => {
            return format!("| {work} | skipped: no {missing} | {peer_name} | – | {wanted} | – | – |\n");
        }
        State::Failed(error) => {
            return format!("| {work} | failed: {error} | {peer_name} | – | {wanted} | – | – |\n");
        }
    };
    let verdict = if outcome.is_met() { "" } else { " (missed)" };
    let ratio = outcome.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}{verdict}"));
    format!(
        "| {work} | {} | {peer_name} {} | {ratio} | {wanted} | {} | {} |\n",
        told(ours, of),
        told(peer, of),
        memory(ours),
        memory(peer),
    )
}

/// Returns the lines of the second table; none for a row without traffic.
fn traffic(outcome: &Outcome) -> String {
    let State::Measured(ours, peer) = &outcome.state else { return String::new() };
    let sides: [(&str, &Measurement); 2] = [(outcome.row.ours.name, ours), (outcome.row.peer.name, peer)];
    if !sides.iter().any(|(_, side)| side.wire.is_some() || side.disk.is_some_and(|bytes| bytes > 0)) {
        return String::new();
    }
    let tell = |(name, side): &(&str, &Measurement)| {
        let wire = side.wire.map_or_else(
            || "– | – | –".to_owned(),
            |wire| format!("{} | {} | {}", wire.requests, bytes(wire.sent), bytes(wire.received)),
        );
        let disk = side.disk.map_or_else(|| "–".to_owned(), bytes);
        format!("| {} | {name} | {wire} | {disk} |\n", outcome.row.work)
    };
    sides.iter().map(tell).collect()
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a sample are far below 2^52")]
fn quantity(measurement: &Measurement, of: Quantity) -> Option<f64> {
    match of {
        Quantity::Wall => Some(measurement.wall),
        Quantity::Cpu => measurement.cpu,
        Quantity::Received => {
            let received = measurement.wire.map(|wire| wire.received);
            received.or(measurement.out_size).map(|bytes| bytes as f64)
        }
    }
}

fn told(measurement: &Measurement, of: Quantity) -> String {
    let runs = measurement.runs;
    match (of, quantity(measurement, of)) {
        (_, None) => "–".to_owned(),
        (Quantity::Wall, Some(seconds)) => format!("{seconds:.2} s ({runs})"),
        (Quantity::Cpu, Some(seconds)) => format!("{seconds:.2} s CPU ({runs})"),
        (Quantity::Received, Some(bytes)) => {
            let requests =
                measurement.wire.map_or_else(String::new, |wire| format!(" in {} requests", wire.requests));
            format!("{:.2} MiB{requests}", bytes / f64::from(1 << 20))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a sample are far below 2^52")]
fn bytes(count: u64) -> String {
    match count {
        0..=9_999 => format!("{count} B"),
        10_000..=1_048_575 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / f64::from(1 << 20)),
    }
}

fn memory(measurement: &Measurement) -> String {
    measurement.peak.map_or_else(|| "–".to_owned(), |kib| format!("{} MiB", kib.div_ceil(1024)))
}

/// Replaces the setting and the table in the document.
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
    use super::{BEGIN, END, Measurement, Outcome, ROWS, Setting, bytes, line, replace, tables, value_of};
    use crate::bench::server::Wire;

    fn outcome(id: &str, ours: Measurement, peer: Measurement) -> Outcome {
        Outcome::new(ROWS.iter().find(|row| row.id == id).unwrap(), Ok((ours, peer)))
    }

    #[test]
    fn rows_are_told_with_their_ratio() {
        let ours =
            Measurement { wall: 1.0, cpu: Some(2.0), peak: Some(20_000), runs: 5, ..Measurement::default() };
        let peer = Measurement { wall: 10.0, cpu: Some(4.0), runs: 1, ..Measurement::default() };
        let fast = line(&outcome("pull-archive", ours, peer));
        assert!(fast.ends_with("| 1.00 s (5) | oras 10.00 s (1) | 0.10 | ≤ 0.4 | 20 MiB | – |\n"), "{fast}");
        let slow = line(&outcome("validate-small", ours, peer));
        assert!(
            slow.contains("| 2.00 s CPU (5) | bagit.py 4.00 s CPU (1) | 0.50 (missed) | ≤ 0.15 |"),
            "{slow}"
        );
        let skipped = line(&Outcome::skipped(&ROWS[0], "oras"));
        assert!(skipped.contains("| skipped: no oras | oras | – |"), "{skipped}");
        let failed = line(&Outcome::new(&ROWS[0], Err("why".into())));
        assert!(failed.contains("| failed: why | oras | – |"), "{failed}");
    }

    #[test]
    fn traffic_is_told_for_rows_that_have_it() {
        let wire = Some(Wire { requests: 4, sent: 2000, received: 3 << 20 });
        let ours = Measurement { wire, disk: Some(4096), runs: 5, ..Measurement::default() };
        let peer = Measurement { out_size: Some(3 << 20), runs: 5, ..Measurement::default() };
        let member = outcome("read-member", ours, peer);
        assert!(
            line(&member).contains("| 3.00 MiB in 4 requests | gzip 3.00 MiB | 1.00 | ≤ 1.1, 4 requests |")
        );
        let text = tables(&[member, outcome("validate-large", peer, peer)]);
        assert!(text.contains("| d1oci | 4 | 2000 B | 3.0 MiB | 4096 B |"), "{text}");
        assert!(text.contains("| gzip | – | – | – | – |"), "{text}");
        assert_eq!(text.matches("validate a bag").count(), 1);
        let many = Some(Wire { requests: 5, sent: 2000, received: 3 << 20 });
        assert!(!outcome("read-member", Measurement { wire: many, ..ours }, peer).is_met());
    }

    #[test]
    fn bytes_have_units_that_fit() {
        assert_eq!([bytes(9_999), bytes(10_240), bytes(3 << 19)], ["9999 B", "10.0 KiB", "1.5 MiB"]);
    }

    #[test]
    fn text_by_people_is_kept() {
        let first = replace("# Title\n\n", "one\n");
        assert_eq!(first, format!("# Title\n\n{BEGIN}\none\n{END}\n"));
        let second = replace(&format!("{first}\nMore.\n"), "two\n");
        assert_eq!(second, format!("# Title\n\n{BEGIN}\ntwo\n{END}\n\nMore.\n"));
    }

    #[test]
    fn the_setting_names_machine_and_programs() {
        let lines = Setting::of_this_machine(5).lines.join("\n");
        for wanted in ["processors", "commit", "oras ", "bagit.py ", "medians of at most 5 runs"] {
            assert!(lines.contains(wanted), "{lines}");
        }
        assert_eq!(value_of("a: 1\nmodel name\t: It 5\n", "model name"), Some("It 5"));
    }
}

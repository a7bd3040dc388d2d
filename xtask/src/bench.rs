//! `cargo xtask bench`: compares d1oci with its peers, on one machine in one run.

mod check;
mod link;
pub(crate) mod measure;
mod report;
mod rows;
mod server;
mod task;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use self::measure::{Measurement, measure};
use self::report::{Outcome, Setting};
use self::rows::{Contender, Network, ROWS, Row, SampleSize};
use self::server::Server;
use self::task::Task;
use crate::error::{Result, at};
use crate::sample::{Extent, Sample};
use crate::{console, peers, process, workspace};

/// The arguments of `cargo xtask bench`.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Makes samples, builds d1oci for release, runs d1oci and its peer in turn, checks that both did the \
same work, and writes medians, ratios, peak memory and traffic into docs/benchmarks.md. Needs about 16 GiB below the scratch directory and, on two \
processors, about a quarter of an hour.

Example: cargo xtask bench --quick --row push-archive")]
pub struct Arguments {
    /// Print the rows and run nothing
    #[arg(long)]
    pub list: bool,
    /// Measure only these rows, and write nothing
    #[arg(long = "row", value_name = "ID")]
    pub rows: Vec<String>,
    /// Most measured runs of each command; slow commands have fewer
    #[arg(long, default_value_t = 5)]
    pub runs: usize,
    /// Use small samples to check that everything works, and write nothing
    #[arg(long)]
    pub quick: bool,
    /// Directory for samples and results of runs; a directory in memory shows more about pulls
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
    /// Measure this d1oci instead of building one, and write nothing
    #[arg(long, value_name = "FILE")]
    pub d1oci: Option<PathBuf>,
}

/// Runs the rows and writes the report.
///
/// # Errors
///
/// Fails when a row is not known, d1oci does not build, a command fails, or both sides did not do the same work.
pub fn run(arguments: &Arguments) -> Result<()> {
    let rows = select(&arguments.rows)?;
    if arguments.list {
        rows.iter().for_each(|row| console::result(row.description()));
        return Ok(());
    }
    if arguments.d1oci.is_none() {
        process::run(&mut workspace::cargo(&["build", "--release", "--package", "d1oci"]))?;
    }
    let bench = Bench::new(arguments);
    let outcomes: Vec<_> = rows.into_iter().map(|row| bench.run_row(row)).collect();
    let tables = report::tables(&outcomes);
    console::result(&tables);
    if let Some(failed) = outcomes.iter().find(|outcome| outcome.has_failed()) {
        return Err(format!("{} failed; nothing is written", failed.row.id).into());
    }
    if arguments.rows.is_empty() && !arguments.quick && arguments.d1oci.is_none() {
        report::write(&Setting::of_this_machine(bench.runs), &tables)?;
    }
    Ok(())
}

fn select(ids: &[String]) -> Result<Vec<&'static Row>> {
    if ids.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let find = |id: &String| {
        let row = ROWS.iter().find(|row| row.id == id);
        row.ok_or_else(|| format!("no row {id:?}: cargo xtask bench --list shows them").into())
    };
    ids.iter().map(find).collect()
}

struct Bench {
    scratch: PathBuf,
    runs: usize,
    /// The factor by which samples are smaller than in the table.
    shrink: u64,
    ours: PathBuf,
    /// Earlier measurements: rows may have a side in common.
    known: RefCell<Vec<(Side, Measurement)>>,
}

/// The facts that decide the duration of a side.
type Side = (SampleSize, Network, Contender);

impl Bench {
    fn new(arguments: &Arguments) -> Self {
        let built = || workspace::target("release").join(rows::OURS);
        Self {
            scratch: arguments.scratch.clone().unwrap_or_else(|| workspace::target("bench")),
            runs: arguments.runs.max(1),
            shrink: if arguments.quick { 32 } else { 1 },
            ours: arguments.d1oci.clone().unwrap_or_else(built),
            known: RefCell::default(),
        }
    }

    /// Measures both sides. An error takes the place of their times.
    fn run_row(&self, row: &'static Row) -> Outcome {
        console::note(format_args!("bench: {}", row.id));
        let run = || -> Result<(Measurement, Measurement)> {
            let bag = self.sample(row)?;
            let room = self.scratch.join(row.id);
            // Leftovers of an earlier run would count as work already done.
            remove(&room)?;
            let ours = self.run_side(row, &row.ours, &bag, &room.join("ours"))?;
            let peer = self.run_side(row, &row.peer, &bag, &room.join("peer"))?;
            remove(&room)?;
            Ok((ours, peer))
        };
        let outcome = match self.missing(row) {
            Some(missing) => Outcome::skipped(row, missing),
            None => Outcome::new(row, run()),
        };
        console::note(report::line(&outcome).trim_end());
        outcome
    }

    /// Names a missing program that the row needs.
    fn missing(&self, row: &Row) -> Option<&'static str> {
        let server = server::program(row.network);
        let sides = [row.ours, row.peer];
        let calls = sides.iter().flat_map(|side| [Some(side.call), side.setup]).flatten();
        let needed = sides.iter().map(|side| side.name).chain(calls.map(|call| call.program)).chain(server);
        needed.into_iter().find(|program| self.program(program).is_none())
    }

    /// Measures one side and checks what it did.
    fn run_side(&self, row: &Row, contender: &Contender, bag: &Path, room: &Path) -> Result<Measurement> {
        let side = (row.sample, row.network, *contender);
        let known = self.known.borrow().iter().find(|(known, _)| *known == side).map(|(_, found)| *found);
        if let Some(measurement) = known {
            return Ok(measurement);
        }
        let server = self.server(row.network, &room.join("registry"))?;
        let tags = (1000 / self.shrink).max(5);
        let task = Task::new(contender, bag, room, server, tags, &|program| self.program(program))?;
        task.set_up()?;
        let before = check::before(contender.check, &task)?;
        let measurement = measure(&task, self.runs)?;
        check::after(contender.check, &task, &before)
            .map_err(|error| format!("{}: {}: {error}", row.id, contender.name))?;
        self.known.borrow_mut().push((side, measurement));
        drop(task);
        remove(room)?;
        Ok(measurement)
    }

    fn server(&self, network: Network, directory: &Path) -> Result<Option<Server>> {
        let Some(name) = server::program(network) else { return Ok(None) };
        let program = self.program(name).ok_or_else(|| format!("no {name}"))?;
        let directory = std::path::absolute(directory).map_err(at(directory))?;
        Server::start(&program, &directory, network).map(Some)
    }

    /// Finds a program: d1oci, a peer, or one of the system.
    fn program(&self, name: &str) -> Option<PathBuf> {
        if name == rows::OURS {
            return self.ours.is_file().then(|| self.ours.clone());
        }
        process::find(name, &peers::directory())
    }

    /// Returns the row's bag. Makes it if it does not exist.
    fn sample(&self, row: &Row) -> Result<PathBuf> {
        let mut sample = Sample::of_kind(row.sample.kind);
        let (size, files) = (row.sample.size / self.shrink, row.sample.files);
        // Samples of few files keep all of them.
        let files = if files > 64 { (files / self.shrink).max(1) } else { files };
        sample.extent = Extent { size: Some(size), files: Some(files) };
        // The directory's name has the size: another size is another bag.
        let out = self.scratch.join("samples").join(format!("{size}-{files}"));
        let bag = out.join(sample.directory_name());
        if bag.is_dir() { Ok(bag) } else { Ok(sample.make_in(&out)?.bag) }
    }
}

fn remove(directory: &Path) -> Result<()> {
    if directory.is_dir() { fs::remove_dir_all(directory).map_err(at(directory)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Bench, ROWS, Row, rows, select};
    use crate::console;

    #[test]
    fn rows_are_selected_by_their_ids() {
        assert!(select(&[]).unwrap().len() > 5);
        let selected = select(&["pull-archive".to_owned()]).unwrap();
        assert_eq!(selected.iter().map(|row| row.id).collect::<Vec<_>>(), ["pull-archive"]);
        assert!(select(&["no-such-row".to_owned()]).unwrap_err().to_string().contains("--list"));
    }

    /// Returns whether the side of the peer can run where d1oci is not built.
    fn stands_alone(row: &Row) -> bool {
        row.peer.setup.is_none_or(|call| call.program != rows::OURS)
    }

    #[test]
    fn peers_do_the_work_of_every_row() {
        let scratch = tempfile::tempdir().unwrap();
        let bench = Bench {
            scratch: scratch.path().to_path_buf(),
            runs: 2,
            shrink: 1024,
            // Any existing program will do: no row of a peer runs it.
            ours: "/bin/sh".into(),
            known: RefCell::default(),
        };
        for row in ROWS.iter().filter(|row| stands_alone(row)) {
            if let Some(missing) = bench.missing(row) {
                console::note(format_args!("skipped: {}: no {missing}", row.id));
                continue;
            }
            let bag = bench.sample(row).unwrap();
            let measured = bench.run_side(row, &row.peer, &bag, &scratch.path().join(row.id)).unwrap();
            assert!(measured.wall > 0.0, "{}", row.id);
        }
    }
}

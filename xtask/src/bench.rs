//! `cargo xtask bench`: d1oci beside its peers, on one machine in one run.

mod check;
mod measure;
mod report;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use self::measure::{Measurement, Task};
use self::report::{Outcome, Setting};
use self::rows::{Contender, ROWS, Row};
use crate::error::{Result, at};
use crate::sample::{Extent, Sample};
use crate::{console, peers, process, workspace};

/// What `cargo xtask bench` is told.
#[derive(Debug, Default, Args)]
#[command(after_help = "\
Makes samples, builds d1oci for release, runs d1oci and its peer in turn, checks that both did the \
same work, and writes medians, ratios and peak memory into docs/benchmarks.md. Needs about 6 GiB \
below the scratch directory.

Example: cargo xtask bench --quick --row push-archive")]
pub struct Arguments {
    /// Print the rows and run nothing
    #[arg(long)]
    pub list: bool,
    /// Only these rows; nothing is written then
    #[arg(long = "row", value_name = "ID")]
    pub rows: Vec<String>,
    /// Measured runs of each command, after one that is not measured
    #[arg(long, default_value_t = 5)]
    pub runs: u32,
    /// Small samples, to see that everything works; nothing is written then
    #[arg(long)]
    pub quick: bool,
    /// Where samples and results of the runs are kept; a directory in memory tells more about pulls
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
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
    process::run(&mut process::cargo(&["build", "--release", "--package", "d1oci"]))?;
    let scratch = arguments.scratch.clone().unwrap_or_else(|| workspace::target("bench"));
    let bench = Bench { scratch, runs: arguments.runs.max(1), shrink: if arguments.quick { 32 } else { 1 } };
    let outcomes = rows.into_iter().map(|row| bench.run_row(row)).collect::<Result<Vec<_>>>()?;
    let table = report::table(&outcomes);
    console::result(&table);
    if arguments.rows.is_empty() && !arguments.quick {
        report::write(&Setting::of_this_machine(bench.runs), &table)?;
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
    runs: u32,
    /// How many times smaller than the table says samples are.
    shrink: u64,
}

impl Bench {
    fn run_row(&self, row: &'static Row) -> Result<Outcome> {
        console::note(format_args!("bench: {}", row.id));
        let bag = self.sample(row)?;
        let room = self.scratch.join(row.id);
        // What an earlier run left would be work already done.
        remove(&room)?;
        let ours = self.run_side(row, &row.ours, &bag, &room.join("ours"))?;
        let peer = self.run_side(row, &row.peer, &bag, &room.join("peer"))?;
        remove(&room)?;
        let ours = ours.ok_or("d1oci was built and is not there")?;
        Ok(Outcome { row, ours, peer })
    }

    /// Measures one side and checks what it did; `None` if its program is not there.
    fn run_side(
        &self,
        row: &Row,
        contender: &Contender,
        bag: &Path,
        room: &Path,
    ) -> Result<Option<Measurement>> {
        let Some(program) = program(contender) else {
            console::note(format_args!("bench: {}: no {}", row.id, contender.program));
            return Ok(None);
        };
        fs::create_dir_all(room).map_err(at(room))?;
        let task = Task::new(contender, program, bag, room)?;
        task.set_up()?;
        let before = check::before(row.check, &task)?;
        let measurement = task.measure(self.runs)?;
        check::after(row.check, &task, &before)
            .map_err(|error| format!("{}: {}: {error}", row.id, contender.program))?;
        Ok(Some(measurement))
    }

    /// Returns the row's bag, which is made once.
    fn sample(&self, row: &Row) -> Result<PathBuf> {
        let mut sample = Sample::of_kind(row.sample.kind);
        let (size, files) = (row.sample.size / self.shrink, row.sample.files);
        // A few files are the point of a sample that has a few.
        let files = if files > 64 { files / self.shrink } else { files };
        sample.extent = Extent { size: Some(size), files: Some(files) };
        // The directory says what is in it, so that another size is another bag.
        let out = self.scratch.join("samples").join(format!("{size}-{files}"));
        let bag = out.join(sample.directory_name());
        if bag.is_dir() { Ok(bag) } else { Ok(sample.make_in(&out)?.bag) }
    }
}

/// Finds the program of a side: the release build of d1oci, or a peer.
fn program(contender: &Contender) -> Option<PathBuf> {
    if contender.program == rows::OURS {
        let built = workspace::target("release").join(rows::OURS);
        return built.is_file().then_some(built);
    }
    peers::by_name(contender.program).and_then(peers::Peer::find)
}

fn remove(directory: &Path) -> Result<()> {
    if directory.is_dir() { fs::remove_dir_all(directory).map_err(at(directory)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{Bench, ROWS, program, select};
    use crate::console;

    #[test]
    fn rows_are_selected_by_their_ids() {
        assert!(select(&[]).unwrap().len() > 5);
        let selected = select(&["pull-archive".to_owned()]).unwrap();
        assert_eq!(selected.iter().map(|row| row.id).collect::<Vec<_>>(), ["pull-archive"]);
        assert!(select(&["no-such-row".to_owned()]).unwrap_err().to_string().contains("--list"));
    }

    #[test]
    fn peers_do_the_work_of_every_row() {
        let scratch = tempfile::tempdir().unwrap();
        let bench = Bench { scratch: scratch.path().to_path_buf(), runs: 2, shrink: 1024 };
        for row in ROWS {
            if program(&row.peer).is_none() {
                console::note(format_args!("skipped: {}: no {}", row.id, row.peer.program));
                continue;
            }
            let bag = bench.sample(row).unwrap();
            let measured = bench.run_side(row, &row.peer, &bag, &scratch.path().join(row.id)).unwrap();
            assert!(measured.is_some_and(|measurement| measurement.wall > 0.0), "{}", row.id);
        }
    }
}

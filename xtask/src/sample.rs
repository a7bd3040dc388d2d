//! `cargo xtask sample`: makes a bag, with the same bytes for the same arguments on every machine.

mod bag;
mod package;
mod plan;
mod random;
mod series;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use clap::Args;
use d1_model::Identifier;

pub use self::plan::{Extent, Kind, parse_size};
use crate::console;
use crate::error::{Result, at};

/// The arguments of `cargo xtask sample`.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints the path of the bag, OUT/dataset_<identifier>. Defaults:

  mooring  1 GiB in 64 files
  small    20,000 files of 4 KiB

Example: cargo xtask sample target/samples --size 16MiB --files 8")]
pub struct Arguments {
    /// Directory in which to make the bag's directory
    pub out: PathBuf,
    /// Kind of bag
    #[arg(long, value_enum, default_value_t = Kind::Mooring)]
    pub kind: Kind,
    /// Total size of all payload files, such as 1GiB or 300MB
    #[arg(long, value_parser = parse_size)]
    pub size: Option<u64>,
    /// Number of payload files
    #[arg(long)]
    pub files: Option<u64>,
    /// Seed of the contents
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Identifier of the package, such as doi:10.5072/A2MOORING
    #[arg(long)]
    pub identifier: Option<String>,
}

/// A bag to make.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The kind of bag.
    pub kind: Kind,
    /// The size of its payload.
    pub extent: Extent,
    /// The seed of its contents.
    pub seed: u64,
    /// The identifier of the package.
    pub identifier: String,
}

/// A bag that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The bag's directory.
    pub bag: PathBuf,
    /// The number of payload files.
    pub files: u64,
    /// The total size of all payload files in bytes.
    pub size: u64,
}

/// Makes the bag and prints its path.
///
/// # Errors
///
/// Fails as [`Sample::make_in`] does.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut sample = Sample::of_kind(arguments.kind);
    sample.extent = Extent { size: arguments.size, files: arguments.files };
    sample.seed = arguments.seed;
    if let Some(identifier) = &arguments.identifier {
        sample.identifier.clone_from(identifier);
    }
    let start = Instant::now();
    let made = sample.make_in(&arguments.out)?;
    let seconds = start.elapsed().as_secs_f64();
    let rate = made.size as f64 / 1e6 / seconds.max(1e-6);
    console::note(format_args!(
        "made {} payload files, {} bytes, in {seconds:.1} s ({rate:.0} MB/s)",
        made.files, made.size
    ));
    console::result(made.bag.display());
    Ok(())
}

impl Sample {
    /// Names the usual bag of this kind.
    #[must_use]
    pub fn of_kind(kind: Kind) -> Self {
        Self {
            kind,
            extent: Extent::default(),
            seed: 1,
            // 10.5072 is the prefix of DOIs that stand for nothing.
            identifier: format!("doi:10.5072/A2{}", kind.name().to_uppercase()),
        }
    }

    /// Returns the name of the bag's directory: `dataset_10.5072_A2MOORING` for `doi:10.5072/A2MOORING`.
    #[must_use]
    pub fn directory_name(&self) -> String {
        let identifier = &self.identifier;
        format!("dataset_{}", package::sanitise(identifier.strip_prefix("doi:").unwrap_or(identifier)))
    }

    /// Makes the bag in a directory of its own below `out`. The directory appears when the bag is complete.
    ///
    /// # Errors
    ///
    /// Fails when the identifier is invalid, the bag would have no files, its directory already exists, or a file cannot
    /// be written.
    pub fn make_in(&self, out: &Path) -> Result<Made> {
        let identifier: Identifier = self.identifier.parse()?;
        let plan = self.kind.plan(self.extent, self.seed)?;
        let name = self.directory_name();
        let bag = out.join(&name);
        if bag.symlink_metadata().is_ok() {
            return Err(format!("{}: already exists", bag.display()).into());
        }
        let unfinished = out.join(format!(".{name}.{}", process::id()));
        fs::create_dir_all(&unfinished).map_err(at(&unfinished))?;
        let written = self.write(&unfinished, &identifier, &plan);
        if let Err(error) = written {
            // The first error says more than a failed removal.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(error);
        }
        fs::rename(&unfinished, &bag).map_err(at(&bag))?;
        let size = plan.iter().map(|file| file.size).sum();
        Ok(Made { bag, files: plan.len() as u64, size })
    }

    fn write(&self, bag: &Path, identifier: &Identifier, plan: &[plan::PlannedFile]) -> Result<()> {
        let payload = bag::write_payload(bag, plan)?;
        let documents = match self.kind {
            Kind::Mooring => package::describe(bag, identifier, self.seed, &payload)?,
            Kind::Small => Vec::new(),
        };
        bag::write_tag_files(bag, identifier.as_str(), &payload, documents)
    }
}

//! Archives among the files of a push: whether one holds a bag, and its content.

use std::fs::File;
use std::path::{Path, PathBuf};

use bagit::{FaultCode, ScanOptions};
use d1_package::Accept;
use d1_transfer::{FileToPush, PushOptions};
use safe_files::WorkingDirectory;

use super::bag::{blocking, open_archive, progress};
use crate::context::{Context, temporary_directory};
use crate::failure::{ExitStatus, Failure};
use crate::output::human;

/// The content of an archive in a temporary directory. It is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Unpacked {
    directory: PathBuf,
    _temporary: WorkingDirectory,
}

impl Unpacked {
    /// Returns the directory of the package.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Unpacks an archive. A bag in it must be valid, unless `verify` is false.
pub(crate) async fn unpack(
    context: &Context,
    archive: &Path,
    options: &PushOptions,
    max_ratio: Option<u64>,
) -> Result<Unpacked, Failure> {
    if archive.is_dir() {
        let message = format!("`--unpack` needs an archive, found the directory `{}`", archive.display());
        return Err(Failure::usage(message).with_hint("leave out `--unpack` to push a directory"));
    }
    let place = temporary_directory();
    let temporary = WorkingDirectory::create(&place, "d1oci-unpacked-");
    let temporary = temporary.map_err(|error| Failure::file("create a directory in", &place, error))?;
    let (target, path, progress) = (temporary.path().to_owned(), archive.to_owned(), progress(context));
    let scan = blocking(move || -> Result<_, Failure> {
        let file = open_archive(&path)?;
        let mut scan_options = ScanOptions::default();
        scan_options.limits.expansion = max_ratio.unwrap_or(scan_options.limits.expansion);
        bagit::unpack_archive(file, &target, &scan_options, &progress).map_err(|error| {
            let limit = scan_options.limits.expansion;
            let is_ratio = matches!(&error, bagit::Error::Limit { limit: found, .. } if *found == limit);
            let failure = Failure::from(error);
            if is_ratio { failure.with_hint("`--max-ratio` sets another limit") } else { failure }
        })
    });
    let scan = scan.await??;
    if options.verify {
        refuse_deep_bag(archive, &scan)?;
    }
    let report = bagit::check(&scan.inventory, &scan.tag_files, &options.accept.check_options());
    if scan.tag_files.has(DECLARATION) && options.verify && !report.valid {
        let faults: Vec<_> = report.errors().map(ToString::to_string).collect();
        let message = format!("the bag in `{}` is not valid", archive.display());
        let shown = archive.display();
        return Err(Failure::new(ExitStatus::Invalid, message).with_details(faults).with_hint(format!(
            "`d1oci bag repair {shown} repaired` fixes known faults; `--no-verify` pushes the bag as it is"
        )));
    }
    // Entries that were left out, such as links, are errors among the observations.
    let left_out = scan.inventory.observations().kept().iter();
    let left_out: Vec<_> =
        left_out.filter(|fault| fault.severity == bagit::Severity::Error).map(ToString::to_string).collect();
    if !left_out.is_empty() {
        let message = format!("`{}` has entries that cannot be unpacked", archive.display());
        return Err(Failure::new(ExitStatus::Invalid, message).with_details(left_out));
    }
    let root = temporary.path().join(scan.base_directory.as_deref().unwrap_or_default());
    let directory = match scan.base_directory {
        Some(_) => root,
        // The package is named after the archive, since its directory is.
        None => named_after(archive, &temporary)?,
    };
    context.printer.status(format_args!(
        "unpacked {} of `{}`",
        human::count(scan.inventory.len() as u64, "file"),
        archive.display()
    ));
    Ok(Unpacked { directory, _temporary: temporary })
}

/// The file that makes a directory a bag (RFC 8493, section 2.1.1).
const DECLARATION: &str = "bagit.txt";

/// Refuses an archive whose bag is so deep that it would be pushed as a plain directory, without validation.
fn refuse_deep_bag(archive: &Path, scan: &bagit::Scan) -> Result<(), Failure> {
    if scan.tag_files.has(DECLARATION) {
        return Ok(());
    }
    let mut files = scan.inventory.files().map(|(path, _)| path);
    let Some(inside) = files.find_map(|path| path.strip_suffix(DECLARATION)?.strip_suffix('/')) else {
        return Ok(());
    };
    let base = scan.base_directory.iter().map(String::as_str);
    let directory = base.chain([inside]).collect::<Vec<_>>().join("/");
    let shown = archive.display();
    let message =
        format!("expected a bag at the root of `{shown}` or one directory deep, found one in `{directory}`");
    Err(Failure::new(ExitStatus::Invalid, message).with_hint(
        "unpack the archive and push the directory of the bag; `--no-verify` pushes the whole content as a plain directory",
    ))
}

/// The endings of archives that can be unpacked.
const ARCHIVES: [&str; 4] = [".tar.gz", ".tgz", ".tar", ".zip"];

/// The directory for the content of an archive without a directory of its own. No content can have this name.
const OUTER_NAME: &str = safe_files::WORK_NAMES[0];

/// Moves the content of a temporary directory into a directory with the name of the archive.
fn named_after(archive: &Path, temporary: &WorkingDirectory) -> Result<PathBuf, Failure> {
    let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or("package");
    let ending = archive_ending(name);
    let stem = name.get(..name.len() - ending.map_or(0, str::len)).filter(|stem| !stem.is_empty());
    let place = temporary.path();
    let failed = |error| Failure::file("unpack into", place, error);
    let outer = place.join(OUTER_NAME);
    std::fs::create_dir(&outer).map_err(failed)?;
    let directory = outer.join(stem.unwrap_or("package"));
    std::fs::create_dir(&directory).map_err(failed)?;
    for entry in std::fs::read_dir(place).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.path() != outer {
            std::fs::rename(entry.path(), directory.join(entry.file_name())).map_err(failed)?;
        }
    }
    Ok(directory)
}

/// Says on standard error which of the files to push are archives that hold a bag, and whether the bag is valid. Without validation, it
/// reads and says nothing.
pub(crate) async fn tell_of_bags(
    context: &Context,
    files: &[FileToPush],
    options: &PushOptions,
) -> Result<(), Failure> {
    for file in files.iter().filter(|_| options.verify) {
        tell_of_bag(context, &file.path, options.accept).await?;
    }
    Ok(())
}

/// Returns the ending of the name of an archive that `--unpack` reads.
fn archive_ending(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    ARCHIVES.into_iter().find(|ending| lower.ends_with(ending))
}

async fn tell_of_bag(context: &Context, path: &Path, accept: Accept) -> Result<(), Failure> {
    if !path.is_file() {
        return Ok(());
    }
    let (archive, progress) = (path.to_owned(), progress(context));
    let report = blocking(move || {
        let file = File::open(&archive).ok()?;
        Some(bagit::validate_archive(file, &ScanOptions::default(), &accept.check_options(), &progress))
    });
    let shown = path.display();
    match report.await? {
        Some(Ok(report)) if report.has(FaultCode::BagTooDeep) => {
            let deep = report.faults.iter().find(|fault| fault.code == FaultCode::BagTooDeep);
            let place = deep.and_then(|fault| fault.path.as_deref()).unwrap_or_default();
            context.printer.warning(format_args!(
                "`{shown}` has a bag in `{place}`, and is stored as one file that nobody validates; unpack it, and push that directory"
            ));
            Ok(())
        }
        Some(Ok(report)) if !report.has(FaultCode::BagitTxtMissing) => {
            let hint = "`--unpack` pushes its content as a package";
            context.printer.status(format_args!("`{shown}` holds a bag and is stored as one file; {hint}"));
            if !report.valid {
                let faults = human::count(report.error_count(), "fault");
                let first = report.errors().next().map(ToString::to_string).unwrap_or_default();
                context
                    .printer
                    .warning(format_args!("the bag in `{shown}` is not valid: {faults}, the first: {first}"));
            }
            Ok(())
        }
        Some(Err(error)) if archive_ending(&path.to_string_lossy()).is_some() => {
            let causes = d1_transfer::with_causes(&error);
            context
                .printer
                .warning(format_args!("`{shown}` is not a whole archive, and is stored as it is: {causes}"));
            Ok(())
        }
        // The push itself reports a file that cannot be read, and stores any other file as it is.
        _ => Ok(()),
    }
}

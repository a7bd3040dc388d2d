//! `d1oci mirror`: a whole repository, or tags by pattern, into another repository.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use d1_transfer::{FailedTag, MirrorOptions, MirrorReport, MirroredReferrers, mirror};
use globset::{Glob, GlobSet, GlobSetBuilder};
use oci_model::{Digest, Location, Reference, Tag};
use registry_backend::Access;
use serde::{Deserialize, Serialize};

use super::push::open_for_dry_run;
use crate::context::Context;
use crate::failure::{ExitStatus, Failure, WITHDRAWN_HINT, transfer_status};
use crate::files::{make_private_directory, require_regular};
use crate::output::{Lines, human};

/// How many tags are worked on at once, unless the user says otherwise.
const PARALLEL: u16 = 16;

/// Mirror a repository: copy every tag that the target lacks or that names another artifact there.
///
/// Tags that already name the same artifact are not read. A second run continues an interrupted one. The exit code is that of the
/// first tag that failed; the others are mirrored nevertheless.
///
/// An unchanged tag takes one request to each registry whose list of tags has no digests. With `--journal` or `--trust-target`, the
/// target gets none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci mirror --delete --dry-run ghcr.io/arctic/packages oci:replica")]
pub(crate) struct Arguments {
    /// The source repository.
    pub(super) from: Reference,
    /// The target repository.
    to: Reference,
    /// Mirror only tags that match this pattern, such as `doi_*`; may be repeated.
    #[arg(short, long = "tag", value_name = "PATTERN")]
    pub(super) tags: Vec<Glob>,
    /// Copy no artifacts that refer to the mirrored ones.
    #[arg(long, conflicts_with = "all_referrers")]
    pub(super) no_referrers: bool,
    /// Look for new referrers of unchanged artifacts too: one more request for each tag.
    #[arg(long)]
    all_referrers: bool,
    /// Mirror artifacts with objects that not everybody may read. Without it, they are left out and listed.
    #[arg(long)]
    pub(super) include_private: bool,
    /// Leave a tag of the target as it is if it names a package with equal content in the same state: replicas of one
    /// package from two nodes differ in their system metadata.
    #[arg(long)]
    keep_equal: bool,
    /// Delete tags of the target that the source lacks.
    #[arg(long)]
    delete: bool,
    /// Report the changes without making them.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// File that remembers the digests of mirrored tags: a later run asks only the source about them.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Do not ask a registry about tags of the target that a run with this option has mirrored within a week, unless another command of
    /// this user has changed the target since. Changes by others stay unseen.
    #[arg(long, conflicts_with = "journal")]
    trust_target: bool,
    /// How many tags to work on at once.
    #[arg(long, value_name = "NUMBER", default_value_t = PARALLEL, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Include objects that were withdrawn from the target; `--delete` then deletes tombstones too.
    #[arg(long)]
    include_withdrawn: bool,
    /// Let a registry forget the artifacts that moved tags named before; without it, they keep tags of their digests.
    #[arg(long)]
    no_keep: bool,
}

impl Arguments {
    /// Returns the arguments that mirror one repository into another, with all tags and their referrers.
    pub(super) fn between(from: Location, to: Location) -> Self {
        Self {
            from: Reference { location: from, target: None },
            to: Reference { location: to, target: None },
            tags: Vec::new(),
            no_referrers: false,
            all_referrers: false,
            include_private: false,
            keep_equal: false,
            delete: false,
            dry_run: false,
            journal: None,
            trust_target: false,
            parallel: PARALLEL,
            include_withdrawn: false,
            no_keep: false,
        }
    }
}

#[derive(Serialize)]
struct Mirrored<'a> {
    from: String,
    to: String,
    #[serde(flatten)]
    report: &'a MirrorReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let from_location = context.repository_only(&arguments.from, "mirror")?;
    let to_location = context.repository_only(&arguments.to, "mirror")?;
    if from_location == to_location {
        return Err(Failure::usage("expected two repositories, found the same one twice"));
    }
    let patterns = patterns(&arguments.tags)?;
    let from = context.open(from_location, Access::Read).await?;
    let to = match arguments.dry_run {
        true => open_for_dry_run(context, to_location, None).await?,
        false => context.open_mirrored(to_location).await?,
    };
    let journal = match &arguments.journal {
        Some(path) => {
            let opened = Journal::open(path, &to_location.to_string(), None);
            Some(opened.map_err(|error| Failure::file("use the journal", path, error))?)
        }
        None if arguments.trust_target => remembered(context, from_location, to_location),
        None => None,
    };
    let mut options = MirrorOptions::default();
    options.wanted = patterns.map(|patterns| Arc::new(move |tag: &Tag| patterns.is_match(tag.as_str())) as _);
    options.referrers = match (arguments.no_referrers, arguments.all_referrers) {
        (true, _) => MirroredReferrers::None,
        (false, true) => MirroredReferrers::OfAll,
        (false, false) => MirroredReferrers::OfNew,
    };
    options.delete = arguments.delete;
    options.dry_run = arguments.dry_run;
    options.include_withdrawn = arguments.include_withdrawn;
    options.forget_moved = arguments.no_keep;
    options.include_private = arguments.include_private;
    options.keep_equal = arguments.keep_equal;
    options.parallel = usize::from(arguments.parallel);
    options.mount_from = mount_from(from_location, to_location);
    if let Some(journal) = &journal {
        options.known = journal.known();
    }
    let done = |tag: &Tag, digest: &Digest| {
        if let (Some(journal), false) = (&journal, arguments.dry_run) {
            journal.note(tag, digest);
        }
    };
    // A line for each blob of each tag is too much: the report lists the tags.
    let observer = context.warnings();
    let report = mirror(&*from, &*to, &options, &observer, &done).await?;
    let mirrored = Mirrored { from: from_location.to_string(), to: to_location.to_string(), report: &report };
    context.printer.result(&mirrored, |mirrored, lines| match context.printer.is_quiet() {
        true => lines.add(summary(mirrored)),
        false => text(mirrored, lines),
    })?;
    journal.map_or(Ok(()), Journal::finish)?;
    let is_empty = report.copied.is_empty() && report.unchanged == 0 && report.failed.is_empty();
    if is_empty && !arguments.tags.is_empty() {
        return Err(Failure::new(ExitStatus::NotFound, format!("no tag of {from_location} matches"))
            .with_hint(format!(
                "`d1oci tags {from_location}` lists the tags; quote patterns, so that the shell does not expand them"
            )));
    }
    failure(&report)
}

/// Opens the journal that runs with `--trust-target` keep for a target that lists no digests. Without one, the run asks the target.
fn remembered(context: &Context, from: &Location, to: &Location) -> Option<Journal> {
    let directory = context.mirrored(to)?;
    let path = directory.join(Digest::sha256_of(from.to_string().as_bytes()).encoded());
    let opened = make_private_directory(&directory)
        .and_then(|()| Journal::open(&path, &to.to_string(), Some(REMEMBERED)));
    opened.inspect_err(|error| tracing::debug!(%error, "mirrored tags are not remembered")).ok()
}

/// Returns the failure of a run in which tags failed.
fn failure(report: &MirrorReport) -> Result<(), Failure> {
    let Some(first) = report.failed.first() else { return Ok(()) };
    let count = human::count(report.failed.len() as u64, "tag");
    let details = report.failed.iter().map(|failed| format!("{}: {}", failed.tag, failed.message));
    let failure = Failure::new(transfer_status(&first.error), format!("{count} failed"));
    let is_withdrawn = |failed: &FailedTag| matches!(failed.error, d1_transfer::Error::Withdrawn { .. });
    let hint = match report.failed.iter().all(is_withdrawn) {
        true => WITHDRAWN_HINT,
        false => "run the same command again: it copies only missing and moved tags",
    };
    Err(failure.with_details(details).with_hint(hint))
}

fn patterns(globs: &[Glob]) -> Result<Option<GlobSet>, Failure> {
    if globs.is_empty() {
        return Ok(None);
    }
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(glob.clone());
    }
    builder.build().map(Some).map_err(|error| Failure::usage(error.to_string()))
}

fn mount_from(from: &Location, to: &Location) -> Option<oci_model::RepositoryName> {
    match (from, to) {
        (Location::Registry { host, repository }, Location::Registry { host: other, .. }) => {
            (host == other).then(|| repository.clone())
        }
        _ => None,
    }
}

fn text(mirrored: &Mirrored<'_>, lines: &mut Lines<'_>) {
    let MirrorReport { dry_run, copied, not_public, deleted, .. } = mirrored.report;
    let (copy, delete) = if *dry_run { ("Would copy", "Would delete") } else { ("Copied", "Deleted") };
    for tag in copied {
        match &tag.former {
            Some(former) => {
                let (former, digest) = (former.short(), tag.digest.short());
                lines.add(format_args!("{copy} {} ({former} -> {digest})", tag.tag));
            }
            None => lines.add(format_args!("{copy} {} ({})", tag.tag, tag.digest.short())),
        }
    }
    deleted.iter().for_each(|tag| lines.add(format_args!("{delete} {tag}")));
    for tag in not_public {
        lines.add(format_args!("Left out {tag}: not everybody may read its objects"));
    }
    lines.add(summary(mirrored));
}

fn summary(mirrored: &Mirrored<'_>) -> String {
    let MirrorReport { copied, unchanged, equal, not_public, deleted, failed, sent_bytes, .. } =
        mirrored.report;
    let mut text = format!("{}: {} copied, {unchanged} unchanged", mirrored.to, copied.len());
    for (count, what) in [(*equal, "of equal content"), (not_public.len() as u64, "not public")] {
        if count > 0 {
            text += &format!(", {count} {what}");
        }
    }
    let (deleted, failed, sent) = (deleted.len(), failed.len(), human::bytes(*sent_bytes));
    format!("{text}, {deleted} deleted, {failed} failed; {sent} sent")
}

/// The digests of mirrored tags: a file of JSON lines that only grows.
#[derive(Debug)]
struct Journal {
    path: PathBuf,
    known: HashMap<Tag, Digest>,
    state: Mutex<(File, io::Result<()>)>,
}

/// The first line of a journal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    mirror_journal: u32,
    repository: String,
    /// When a journal began that does not last, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<u64>,
}

/// How long the digests count that runs without `--journal` remember.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    tag: String,
    digest: Digest,
}

/// The longest line of a journal in bytes.
const LONGEST_LINE: u64 = 4096;

impl Journal {
    /// Opens or creates the journal of a target. An incomplete last line is dropped, and so is all of a journal that has lasted longer
    /// than it may.
    fn open(path: &Path, repository: &str, lasting: Option<Duration>) -> io::Result<Self> {
        let other = |text: &str| io::Error::other(text.to_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let head = Head { mirror_journal: 1, repository: repository.to_owned(), since: lasting.map(|_| now) };
        if path.exists() {
            require_regular(path)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        file.try_lock().map_err(|_| other("another process uses it"))?;
        let (mut known, mut complete, mut is_over) = (HashMap::new(), 0, false);
        let mut reader = BufReader::new(&file);
        loop {
            let mut line = Vec::new();
            let count = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                if count as u64 == LONGEST_LINE || complete == 0 && count > 0 {
                    return Err(other("it is not a journal of `d1oci mirror`"));
                }
                break;
            }
            let unreadable = |_| other("it is not a journal of `d1oci mirror`");
            if complete == 0 {
                let found: Head = serde_json::from_slice(&line).map_err(unreadable)?;
                if (found.mirror_journal, &found.repository) != (1, &head.repository) {
                    return Err(other(&format!("it is the journal of {}", found.repository)));
                }
                let age = Duration::from_secs(now.saturating_sub(found.since.unwrap_or(now)));
                is_over = lasting.is_some_and(|lasting| age > lasting);
            } else {
                let Line { tag, digest } = serde_json::from_slice(&line).map_err(unreadable)?;
                let tag = tag.parse().map_err(|_| other("it has a line without a tag"))?;
                known.insert(tag, digest);
            }
            complete += count as u64;
        }
        if is_over {
            known.clear();
            complete = 0;
        }
        file.set_len(complete)?;
        if complete == 0 {
            write_line(&mut file, &head)?;
        }
        Ok(Self { path: path.to_owned(), known, state: Mutex::new((file, Ok(()))) })
    }

    fn known(&self) -> HashMap<Tag, Digest> {
        self.known.clone()
    }

    /// Notes that the target's tag names a digest. The first failure is kept for the end.
    fn note(&self, tag: &Tag, digest: &Digest) {
        if self.known.get(tag) == Some(digest) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, result) = &mut *state;
        if result.is_ok() {
            *result = write_line(file, &Line { tag: tag.to_string(), digest: digest.clone() });
        }
    }

    fn finish(self) -> Result<(), Failure> {
        let (file, result) = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let synced = result.and_then(|()| file.sync_all());
        synced.map_err(|error| Failure::file("write", &self.path, error))
    }
}

fn write_line(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    file.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_belongs_to_one_target_and_loses_an_incomplete_line() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal");
        let (tag, digest) = ("v1".parse::<Tag>().unwrap(), Digest::sha256_of(b"1"));
        let open = |path: &Path, repository: &str| Journal::open(path, repository, None);
        let journal = open(&path, "oci:a").unwrap();
        assert!(journal.known().is_empty());
        journal.note(&tag, &digest);
        assert!(open(&path, "oci:a").is_err(), "it is locked");
        journal.finish().unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"tag\":\"v2").unwrap();
        let journal = open(&path, "oci:a").unwrap();
        assert_eq!(journal.known(), HashMap::from([(tag, digest)]));
        journal.finish().unwrap();
        assert!(open(&path, "oci:b").is_err());
        let other = place.path().join("other");
        std::fs::write(&other, "not a journal").unwrap();
        assert!(open(&other, "oci:a").is_err());
        assert_eq!(std::fs::read(&other).unwrap(), b"not a journal");
    }

    #[test]
    fn a_journal_that_does_not_last_is_over_after_its_time() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal");
        let (tag, digest) = ("v1".parse::<Tag>().unwrap(), Digest::sha256_of(b"1"));
        let hour = Duration::from_secs(3600);
        let journal = Journal::open(&path, "r.example/a", Some(hour)).unwrap();
        journal.note(&tag, &digest);
        journal.finish().unwrap();
        let journal = Journal::open(&path, "r.example/a", Some(hour)).unwrap();
        assert_eq!(journal.known().len(), 1);
        drop(journal);
        let old = std::fs::read_to_string(&path).unwrap();
        let since: u64 = old.split("\"since\":").nth(1).unwrap().split('}').next().unwrap().parse().unwrap();
        std::fs::write(&path, old.replace(&since.to_string(), &(since - 4000).to_string())).unwrap();
        let journal = Journal::open(&path, "r.example/a", Some(hour)).unwrap();
        assert!(journal.known().is_empty());
    }
}

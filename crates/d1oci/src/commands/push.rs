//! `d1oci push`: a bag, a directory or single files into a repository.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use d1_model::Identifier;
use d1_package::Accept;
use d1_package::Layout;
use d1_sync::{ObjectReport, ObjectToPush};
use d1_transfer::{FileToPush, PushOptions, PushReport};
#[cfg(feature = "distribution-client")]
use futures::{StreamExt, TryStreamExt};
use oci_model::{Annotations, Digest, Location, MediaType, Reference, Tag};
use oci_pack::Compression;
#[cfg(feature = "distribution-client")]
use registry_backend::TagEntry;
use registry_backend::{Access, ErrorKind, MemoryBackend, RegistryBackend};
use serde::Serialize;

use super::archive;
use super::bag::AcceptArgument;
use crate::context::{Context, source_date_epoch, temporary_directory};
use crate::failure::{ExitStatus, Failure};
use crate::files::{read_regular_text, require_regular, write_result};
use crate::fingerprints::{Fingerprints, Trusted, trusted, trusted_text};
use crate::output::{Lines, human};
use crate::spellings::TaggedReference;

/// Push a bag, a directory or single files.
///
/// A bag is validated first; if it breaks a rule, the push lists all its faults and stores nothing. The same content gets the same
/// digest everywhere and at any time. Content that the repository has is not sent again.
///
/// A zip or tar archive is stored as one file. If it holds a bag, the command says so, and whether the bag is valid; `--unpack` stores the
/// content of the archive as a package instead.
///
/// Without a tag in REFERENCE, a package with a DataONE identifier is tagged by it; any other package has only its digest.
///
/// A single DataONE object, one file with `--id` or `--sysmeta`, becomes an artifact of its own, and its system metadata an artifact
/// that refers to it. The push refuses an object that contradicts its system metadata. A second push with newer system metadata leaves
/// the object as it is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: d1oci push oci:store:v1 ./dataset_10.18739_A2D795C92\n\
                        Example: d1oci push oci:store ./T3_2024_15m_Temp.csv --sysmeta sysmeta.xml")]
pub(crate) struct Arguments {
    /// The target repository, and the tag, or several with commas between them.
    #[arg(value_name = "REFERENCE")]
    target: TaggedReference,
    /// A directory, or files; `FILE:TYPE` states a file's media type.
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// Further tags.
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// How to store files: `objects`, a blob for each larger file, or `archive`, all files in compressed archives.
    #[arg(long, value_enum, default_value_t, value_name = "LAYOUT")]
    layout: LayoutArgument,
    /// Type of the artifact [default: that of the bag's version, or of the file].
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<MediaType>,
    /// Annotation of the manifest.
    #[arg(short, long = "annotation", value_name = "KEY=VALUE", value_parser = parse_annotation)]
    annotations: Vec<(String, String)>,
    /// Annotations of the manifest in a JSON file, as `oras` reads them: `{"$manifest": {"KEY": "VALUE"}}`.
    #[arg(long, value_name = "FILE")]
    annotation_file: Option<PathBuf>,
    /// Also write the manifest to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    export_manifest: Option<PathBuf>,
    /// DataONE identifier of the package or object [default: the one in its metadata].
    #[arg(long, value_name = "PID")]
    id: Option<Identifier>,
    /// System metadata of the object.
    #[arg(long, value_name = "FILE")]
    sysmeta: Option<PathBuf>,
    /// Push objects that not everybody may read by their system metadata.
    #[arg(long)]
    include_private: bool,
    /// Push an object although its system metadata name the wrong algorithm for its checksum.
    #[arg(long, requires = "sysmeta")]
    take_mislabelled: bool,
    /// Time of creation for the manifest, RFC 3339 [default: `SOURCE_DATE_EPOCH`, or the bag's `Bagging-Date`, or none].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
    /// Push a bag without validating it.
    #[arg(long)]
    no_verify: bool,
    /// Push the content of a zip or tar archive, instead of the archive itself.
    ///
    /// The archive is unpacked into a private directory first, and a bag in it is validated on the way. `TMPDIR` names the place. The copy is
    /// needed: the layers of a package have the files in the order of their names, and an archive may have them in any other.
    #[arg(long, conflicts_with_all = ["sysmeta"])]
    unpack: bool,
    /// With `--unpack`: the most bytes of content for each byte of the archive [default: 200].
    #[arg(long, value_name = "N", requires = "unpack")]
    max_ratio: Option<u64>,
    /// Tolerate known faults.
    #[arg(long, value_enum, value_name = "WHOSE")]
    accept: Option<AcceptArgument>,
    /// Push a plain directory as a bag: its files become the payload.
    #[arg(long, conflicts_with = "no_verify")]
    bag: bool,
    /// Fail if an RO-Crate has problems, such as a file that it does not describe.
    #[arg(long)]
    strict_crate: bool,
    /// Compression of archive layers; `oras` can unpack `gzip` only.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    compression: CompressionArgument,
    /// Store no index, for a registry that accepts only known types of configurations.
    #[arg(long)]
    no_index: bool,
    /// Build all archive layers again instead of reusing those in the repository.
    #[arg(long)]
    repack: bool,
    /// Read every blob that the repository has, and replace damaged ones.
    #[arg(long, conflicts_with = "dry_run")]
    repair: bool,
    /// Do everything except storing.
    #[arg(long)]
    dry_run: bool,
    /// Do not read files that have not changed since an earlier run with this option hashed them.
    ///
    /// A file counts as unchanged if its path, size, times, inode and device are the same. Its digests stand in the cache directory for at
    /// most a year. `verify` and `bag validate` never use them.
    #[arg(long, conflicts_with_all = ["unpack", "repair"])]
    trust_unchanged: bool,
    /// Include objects that were withdrawn from the repository; their tombstones stay.
    #[arg(long)]
    include_withdrawn: bool,
    /// Let a registry forget the artifact that a tag named before; without it, the former artifact keeps a tag of its digest.
    #[arg(long)]
    no_keep: bool,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum LayoutArgument {
    #[default]
    Objects,
    Archive,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum CompressionArgument {
    #[default]
    Gzip,
    Zstd,
    None,
}

#[derive(Debug, Serialize)]
struct PushedObject<'a> {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<Trusted>,
    #[serde(flatten)]
    report: &'a ObjectReport,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pushed<'a> {
    reference: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted: Option<Trusted>,
    #[serde(flatten)]
    report: &'a PushReport,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<(), Failure> {
    let reference = &arguments.target.first;
    let tag = context.tag_only(reference)?;
    let mut options = options(&arguments, tag)?;
    let known = Fingerprints::open_if(arguments.trust_unchanged)?;
    options.known = known.clone().map(|known| known as _);
    let location = &reference.location;
    let backend = if arguments.dry_run {
        open_for_dry_run(context, location, options.tags.first()).await?
    } else {
        context.open(location, Access::Create).await?
    };
    let observer = context.observer();
    let report = match arguments.sources.as_slice() {
        [archive] if arguments.unpack => {
            let unpacked = archive::unpack(context, archive, &options, arguments.max_ratio).await?;
            d1_transfer::push_directory(&*backend, unpacked.directory(), &options, &observer).await?
        }
        _ if arguments.unpack => {
            return Err(Failure::usage("`--unpack` needs one archive: expected one file to push"));
        }
        [directory] if directory.is_dir() => {
            refuse_system_metadata(&arguments)?;
            d1_transfer::push_directory(&*backend, directory, &options, &observer).await?
        }
        [object] if arguments.id.is_some() || arguments.sysmeta.is_some() => {
            let FileToPush { path, media_type, .. } = file_to_push(object)?;
            if let Some(path) = &arguments.sysmeta {
                require_regular(path).map_err(|error| Failure::file("read", path, error))?;
            }
            let object = ObjectToPush { path, media_type, system_metadata: arguments.sysmeta.clone() };
            let report = d1_sync::push_object(&*backend, &object, &options, &observer).await?;
            tell_of_privacy(context, location, &*backend, &report.object, arguments.dry_run).await;
            export_manifest(&*backend, &report.object.digest, arguments.export_manifest.as_deref()).await?;
            let pushed = PushedObject {
                reference: pushed_reference(reference, &report.object),
                trusted: trusted(context, known.as_deref()),
                report: &report,
            };
            return context
                .printer
                .done(&pushed, |pushed, lines| object_text(pushed, arguments.dry_run, lines));
        }
        files => {
            refuse_system_metadata(&arguments)?;
            let files = files.iter().map(|path| file_to_push(path)).collect::<Result<Vec<_>, _>>()?;
            archive::tell_of_bags(context, &files, &options).await?;
            d1_transfer::push_files(&*backend, &files, &options, &observer).await?
        }
    };
    if report.tags.is_empty() && !arguments.dry_run {
        context.printer.warning(format_args!(
            "no tag names the artifact, so only its digest finds it; `d1oci tag {location}@{} latest` gives it one",
            report.digest
        ));
    }
    tell_of_privacy(context, location, &*backend, &report, arguments.dry_run).await;
    export_manifest(&*backend, &report.digest, arguments.export_manifest.as_deref()).await?;
    let trusted = trusted(context, known.as_deref());
    let pushed = Pushed { reference: pushed_reference(reference, &report), trusted, report: &report };
    context.printer.done(&pushed, |pushed, lines| {
        text(&pushed.reference, pushed.report, arguments.dry_run, lines);
        trusted_text(pushed.trusted, lines);
    })
}

fn options(arguments: &Arguments, tag: Option<&Tag>) -> Result<PushOptions, Failure> {
    let mut options = PushOptions::new(temporary_directory());
    options.tags = tag.into_iter().chain(&arguments.target.more).chain(&arguments.tags).cloned().collect();
    options.layout = arguments.layout.into();
    options.artifact_type = arguments.artifact_type.clone();
    options.annotations = annotations(arguments.annotation_file.as_deref(), &arguments.annotations)?;
    options.identifier = arguments.id.clone();
    options.include_private = arguments.include_private;
    options.take_mislabelled = arguments.take_mislabelled;
    options.created = created(arguments.created.as_deref())?;
    options.verify = !arguments.no_verify;
    options.accept = arguments.accept.map_or(Accept::Strict, Accept::from);
    options.make_bag = arguments.bag;
    options.strict_crate = arguments.strict_crate;
    options.compression = arguments.compression.into();
    options.index = !arguments.no_index;
    options.repack = arguments.repack;
    options.repair = arguments.repair;
    options.dry_run = arguments.dry_run;
    options.include_withdrawn = arguments.include_withdrawn;
    options.forget_moved = arguments.no_keep;
    Ok(options)
}

/// Says after the first push to a repository that it is private, and how to change that.
#[cfg(feature = "distribution-client")]
async fn tell_of_privacy(
    context: &Context,
    location: &Location,
    backend: &dyn RegistryBackend,
    report: &PushReport,
    dry_run: bool,
) {
    let Location::Registry { host, .. } = location else { return };
    let Ok(place) = context.registries.place(host) else { return };
    if dry_run || report.unchanged || !place.creates_private_repositories() {
        return;
    }
    // Other tags show that it is not the first push. The push has succeeded: a list that fails does not matter.
    let others = backend.tags().take(report.tags.len() + 1);
    let others: Result<Vec<TagEntry>, _> = others.try_collect().await;
    if others.is_ok_and(|tags| tags.iter().all(|entry| report.tags.contains(&entry.tag))) {
        context.printer.status(format_args!(
            "hint: {host} creates private repositories; `d1oci repo visibility {location} public` lets everybody read this one, \
             or says how"
        ));
    }
}

#[cfg(not(feature = "distribution-client"))]
async fn tell_of_privacy(_: &Context, _: &Location, _: &dyn RegistryBackend, _: &PushReport, _: bool) {}

/// Refuses system metadata that describe no single file.
fn refuse_system_metadata(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.sysmeta {
        None => Ok(()),
        Some(_) => Err(Failure::usage("`--sysmeta` describes one file: expected one file to push")
            .with_hint("a push finds system metadata inside a package by itself")),
    }
}

/// Opens a repository without creating it; a missing one counts as empty. Some registries do not say whether a repository is
/// missing or private.
pub(crate) async fn open_for_dry_run(
    context: &Context,
    location: &Location,
    tag: Option<&Tag>,
) -> Result<Box<dyn RegistryBackend>, Failure> {
    let backend = match context.open(location, Access::Read).await {
        Err(failure) if failure.status() == ExitStatus::NotFound => {
            return Ok(Box::new(MemoryBackend::new()));
        }
        opened => opened?,
    };
    let latest = || "latest".parse().ok();
    let Some(tag) = tag.cloned().or_else(latest) else { return Ok(backend) };
    match backend.stat_manifest(&tag.into()).await {
        Err(error) if error.kind() == ErrorKind::Denied => {
            context.printer.warning(format_args!(
                "cannot read {location}: it does not exist, or the account may not read it; the dry run takes it for empty"
            ));
            Ok(Box::new(MemoryBackend::with_capabilities(backend.capabilities().clone())))
        }
        _ => Ok(backend),
    }
}

/// Returns the reference that names the artifact from now on.
fn pushed_reference(reference: &Reference, report: &PushReport) -> String {
    match report.tags.first() {
        Some(tag) => format!("{}:{tag}", reference.location),
        None => format!("{}@{}", reference.location, report.digest),
    }
}

fn text(reference: &str, report: &PushReport, dry_run: bool, lines: &mut Lines<'_>) {
    let PushReport { files, bytes, sent_blobs, sent_bytes, unchanged, .. } = report;
    let verb = match (dry_run, unchanged) {
        (_, true) => "Unchanged",
        (true, false) => "Would push",
        (false, false) => "Pushed",
    };
    let sent = if dry_run { "to send" } else { "sent" };
    lines.add(format_args!("{verb} {reference}"));
    lines.add(format_args!(
        "{} of {} in {}; {} {sent} ({})",
        human::count(*files, "file"),
        human::bytes(*bytes),
        human::count(report.layers.len() as u64, "layer"),
        human::count(*sent_blobs, "blob"),
        human::bytes(*sent_bytes),
    ));
    if let Some(identifier) = &report.identifier {
        lines.add(format_args!("Identifier: {identifier}"));
    }
    lines.add(format_args!("ArtifactType: {}", report.artifact_type));
    lines.add(format_args!("Digest: {}", report.digest));
}

fn object_text(pushed: &PushedObject<'_>, dry_run: bool, lines: &mut Lines<'_>) {
    text(&pushed.reference, &pushed.report.object, dry_run, lines);
    trusted_text(pushed.trusted, lines);
    if let Some(attached) = &pushed.report.system_metadata {
        let verb = if attached.unchanged { "unchanged" } else { "attached" };
        lines.add(format_args!("System metadata: {verb}, {}", attached.digest));
    }
}

/// Reads `FILE` or `FILE:TYPE`. A file with exactly this name comes first, since identifiers have colons.
pub(crate) fn file_to_push(path: &Path) -> Result<FileToPush, Failure> {
    let typed = || {
        let (file, media_type) = path.to_str()?.rsplit_once(':')?;
        Some((PathBuf::from(file), media_type.parse::<MediaType>().ok()?))
    };
    let (path, media_type) = match typed() {
        Some((file, media_type)) if !path.exists() => (file, Some(media_type)),
        _ => (path.to_owned(), None),
    };
    let title = title_of(&path)?;
    Ok(FileToPush { path, title, media_type })
}

/// Returns the path of a file in the artifact: as typed, without `./`, as `oras` has it. A path that leads out of the current
/// directory is cut to the file's name, since a pull could not restore it.
fn title_of(path: &Path) -> Result<String, Failure> {
    let unusable = || Failure::usage(format!("expected a file name in UTF-8, found `{}`", path.display()));
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(unusable)?),
            _ => {
                return path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned)
                    .ok_or_else(unusable);
            }
        }
    }
    Ok(parts.join("/"))
}

/// Returns the annotations of a file, and those of the command line, which count more.
pub(crate) fn annotations(file: Option<&Path>, typed: &[(String, String)]) -> Result<Annotations, Failure> {
    const MANIFEST: &str = "$manifest";
    const LARGEST: u64 = 4 * 1024 * 1024;
    let Some(path) = file else { return Ok(typed.iter().cloned().collect()) };
    let text = read_regular_text(path, LARGEST).map_err(|error| Failure::file("read", path, error))?;
    let refused = |reason: String| Failure::usage(format!("cannot use `{}`: {reason}", path.display()));
    let parsed: BTreeMap<String, Annotations> = serde_json::from_str(&text).map_err(|error| {
        refused(format!(
            "expected an object of objects with texts, {{\"{MANIFEST}\": {{\"KEY\": \"VALUE\"}}}}: {error}"
        ))
    })?;
    if let Some(other) = parsed.keys().find(|key| *key != MANIFEST) {
        return Err(refused(format!("expected `{MANIFEST}` alone, found `{other}`")).with_hint(
            "annotations of files and of the config would change what the index of the package says",
        ));
    }
    Ok(parsed.into_values().flatten().chain(typed.iter().cloned()).collect())
}

/// Writes the stored manifest to a file, if the user wants that.
pub(crate) async fn export_manifest(
    backend: &dyn RegistryBackend,
    digest: &Digest,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let Some(path) = file else { return Ok(()) };
    let manifest = backend.read_manifest(&digest.clone().into()).await?;
    write_result(path, manifest.bytes())
}

pub(crate) fn parse_annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Returns the stated time of creation, checked, or the time for reproducible builds in the environment.
pub(crate) fn created(stated: Option<&str>) -> Result<Option<String>, Failure> {
    if let Some(stated) = stated {
        let time: Result<jiff::Timestamp, _> = stated.parse();
        return time.map(|_| Some(stated.to_owned())).map_err(|error| {
            Failure::usage(format!("expected a time such as 2025-11-07T12:00:00Z, found `{stated}`: {error}"))
        });
    }
    Ok(source_date_epoch()?.map(|time| time.to_string()))
}

impl From<LayoutArgument> for Layout {
    fn from(layout: LayoutArgument) -> Self {
        match layout {
            LayoutArgument::Objects => Self::Objects,
            LayoutArgument::Archive => Self::Archive,
        }
    }
}

impl From<CompressionArgument> for Compression {
    fn from(compression: CompressionArgument) -> Self {
        match compression {
            CompressionArgument::Gzip => Self::Gzip,
            CompressionArgument::Zstd => Self::Zstd,
            CompressionArgument::None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_the_paths_as_typed() {
        let cases = [
            ("a.csv", "a.csv"),
            ("./d/a.csv", "d/a.csv"),
            ("d//a", "d/a"),
            ("../a", "a"),
            ("/x/a", "a"),
            ("d/../a", "a"),
        ];
        for (path, title) in cases {
            assert_eq!(title_of(Path::new(path)).unwrap(), title);
        }
        assert!(title_of(Path::new("..")).is_err());
    }

    #[test]
    fn a_media_type_stands_behind_the_last_colon() {
        let file = file_to_push(Path::new("urn:uuid:1:text/csv")).unwrap();
        assert_eq!((file.title.as_str(), file.media_type), ("urn:uuid:1", Some("text/csv".parse().unwrap())));
        assert_eq!(file_to_push(Path::new("urn:uuid:1")).unwrap().media_type, None);
    }
}

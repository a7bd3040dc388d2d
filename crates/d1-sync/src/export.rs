//! Exports of packages as bags in the layout of DataONE's services, as a directory or a zip file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Algorithm, BagBuilder, RepairOptions, Report};
use bytes::Bytes;
use d1_model::{FormatType, Identifier, ObjectFormatList};
use d1_package::{BagNames, ObjectToPlace, PackageView, object_layer_of};
use d1_transfer::parts::{
    AttachedDocument, HashProgress, RunningPhase, newest_attached, run_blocking, sync_directory,
    sync_file_system,
};
use d1_transfer::{Observer, OpenPackage, Phase, PullOptions, open_package, pull};
use oci_model::{Digest, ManifestRef, annotations};
use registry_backend::RegistryBackend;
use safe_files::WorkingDirectory;
use serde::Serialize;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::error::{Error, Result};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ExportForm {
    /// A directory, which is the bag.
    Directory,
    /// A zip file with the bag at its root.
    Zip,
}

/// How to export.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The form of the export.
    pub form: ExportForm,
    /// The most bytes of content for each byte of an archive that has no index, as for a pull.
    pub max_ratio: Option<u64>,
}

impl ExportOptions {
    /// Returns the options for this form.
    #[must_use]
    pub fn new(form: ExportForm) -> Self {
        Self { form, max_ratio: None }
    }
}

/// The result of an export.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExportReport {
    /// Digest of the manifest of the package.
    pub digest: Digest,
    /// Identifier of the package, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// The form of the export.
    pub form: ExportForm,
    /// Number of files in the bag.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// The result of validating the bag.
    pub bag: Report,
}

/// The manifests that every exported bag has: MD5, which DataONE's services write, and SHA-256, which is not
/// broken.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

/// Prefix of working directories, which are beside the target.
const WORK_PREFIX: &str = ".d1oci-export-";

/// Exports a package, whoever made it, as a bag of version 1.0 with MD5 and SHA-256 manifests.
///
/// A bag stays as it is, and gets the manifests that it lacks. A bag with the known faults of DataONE's tools
/// is repaired. Any other package becomes a bag with its data below `data`, science metadata and resource maps
/// in `metadata`, and system metadata in `metadata/sysmeta`. The bag is made beside the target and renamed when
/// it is complete.
///
/// # Errors
///
/// [`Error::TargetExists`] if the target exists. [`Error::Transfer`] if the package is a bag that cannot be
/// repaired, or as [`pull`](pull()).
///
/// ```
/// use std::sync::Arc;
///
/// use d1_sync::{ExportForm, ExportOptions, export};
/// use d1_transfer::{Observer, PushOptions, Silent, push_directory};
/// use registry_backend::MemoryBackend;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let plots = folder.path().join("plots");
/// std::fs::create_dir(&plots)?;
/// std::fs::write(plots.join("temperature.csv"), "depth,temperature\n15,7.2\n")?;
/// let backend = MemoryBackend::new();
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let pushed = push_directory(&backend, &plots, &PushOptions::new(std::env::temp_dir()), &observer).await?;
///
/// // A plain directory becomes a bag.
/// let bag = folder.path().join("bag");
/// let options = ExportOptions::new(ExportForm::Directory);
/// let report = export(&backend, &pushed.digest.into(), &bag, &options, &observer).await?;
/// assert!(report.bag.valid);
/// assert!(bag.join("bagit.txt").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn export(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    target: &Path,
    options: &ExportOptions,
    observer: &Arc<dyn Observer>,
) -> Result<ExportReport> {
    let form = options.form;
    let work = {
        let target = target.to_owned();
        run_blocking(move || working_directory(&target, form)).await?
    };
    let package = open_package(backend, at).await?;
    let at = ManifestRef::Digest(package.raw.digest().clone());
    // The complete bag is validated at the end.
    let mut to_pull = PullOptions::default();
    to_pull.no_bag_check = true;
    to_pull.max_ratio = options.max_ratio;
    let pulled = work.path().join("pulled");
    fs::create_dir(&pulled).map_err(|error| Error::io("create", &pulled, error))?;
    pull(backend, &at, &pulled, &to_pull, observer).await?;
    let document = newest_system_metadata(backend, &package).await?;
    let exporting = Exporting { package, pulled, document, form, observer: Arc::clone(observer) };
    let target = target.to_owned();
    run_blocking(move || exporting.finish(&work, &target)).await
}

/// Creates a working directory beside the target. The target must not exist.
fn working_directory(target: &Path, form: ExportForm) -> Result<WorkingDirectory> {
    let is_free = match (form, fs::symlink_metadata(target)) {
        (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => true,
        (_, Err(error)) => return Err(Error::io("look at", target, error)),
        (ExportForm::Directory, Ok(there)) if there.is_dir() => {
            let mut entries = fs::read_dir(target).map_err(|error| Error::io("open", target, error))?;
            entries.next().is_none()
        }
        _ => false,
    };
    if !is_free {
        return Err(Error::TargetExists { path: target.to_owned() });
    }
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
    WorkingDirectory::create(parent, WORK_PREFIX)
        .map_err(|error| Error::io("create a directory in", parent, error))
}

/// An export whose content is on disk.
struct Exporting {
    package: OpenPackage,
    /// The directory that the package was pulled into.
    pulled: PathBuf,
    /// The system metadata that refer to an object.
    document: Option<SystemMetadataFile>,
    form: ExportForm,
    observer: Arc<dyn Observer>,
}

impl Exporting {
    /// Completes the bag and moves it to its target. It blocks.
    fn finish(self, work: &WorkingDirectory, target: &Path) -> Result<ExportReport> {
        let root = self.pulled.join(self.package.view.directory());
        let root = if bagit::is_bag(&root) {
            root
        } else {
            let arranged = work.path().join("bag");
            arrange(&self.package.view, &root, &arranged, self.document.as_ref())?;
            arranged
        };
        let (report, files, bytes) = self.complete(&root)?;
        let made = match self.form {
            ExportForm::Directory => root,
            ExportForm::Zip => {
                let path = work.path().join("bag.zip");
                write_zip(&root, &path, &self.observer)?;
                path
            }
        };
        sync_file_system(work.path())?;
        fs::rename(&made, target).map_err(|error| Error::io("rename to", target, error))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_directory(parent.unwrap_or(Path::new(".")))?;
        let view = &self.package.view;
        Ok(ExportReport {
            digest: self.package.raw.digest().clone(),
            identifier: view.identifier().map(str::to_owned),
            form: self.form,
            files,
            bytes,
            bag: report,
        })
    }

    /// Adds the missing manifests, and repairs the bag if it is not valid.
    fn complete(&self, root: &Path) -> Result<(Report, u64, u64)> {
        let mut builder = BagBuilder::new().algorithms(ALGORITHMS);
        let annotations = &self.package.view.manifest().annotations;
        // Two exports of one package are equal, so the date comes from the package, not from the clock.
        let date = annotations.get(annotations::CREATED).and_then(|created| created.get(..10));
        if let Some(date) = date.filter(|date| bagit::is_date(date)) {
            builder = builder.bagging_date(date);
        }
        let created = match builder.complete(root, &HashProgress::new(&self.observer)) {
            Err(bagit::Error::NotValid(_)) => {
                let mut options = RepairOptions::default();
                options.algorithms = ALGORITHMS.into_iter().collect();
                bagit::repair_in_place(root, &options, &HashProgress::new(&self.observer))?.after
            }
            created => created?,
        };
        let files = created.scan.inventory.files();
        let (count, bytes) =
            files.fold((0, 0_u64), |(count, bytes), (_, file)| (count + 1, bytes.saturating_add(file.size)));
        Ok((created.report, count, bytes))
    }
}

/// Reads the newest system metadata of a single object. A package holds its own.
async fn newest_system_metadata(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
) -> Result<Option<SystemMetadataFile>> {
    let Some(identifier) = package.view.identifier().and_then(|text| text.parse::<Identifier>().ok()) else {
        return Ok(None);
    };
    if object_layer_of(package.view.manifest(), &identifier).is_none() {
        return Ok(None);
    }
    let newest = newest_attached(backend, package).await?.newest;
    let newest = newest.filter(|newest| newest.facts.identifier == identifier);
    Ok(newest.map(|AttachedDocument { facts, bytes, .. }| SystemMetadataFile {
        identifier,
        format_id: facts.format_id,
        bytes,
    }))
}

/// System metadata that are not among the files of the package.
#[derive(Clone, Debug)]
struct SystemMetadataFile {
    identifier: Identifier,
    format_id: String,
    bytes: Bytes,
}

/// Moves the files of a package from one directory to their places in another. It blocks.
fn arrange(view: &PackageView, from: &Path, to: &Path, attached: Option<&SystemMetadataFile>) -> Result<()> {
    let data = to.join("data");
    fs::create_dir_all(to).map_err(|error| Error::io("create", to, error))?;
    if view.index().is_none() && !view.archives().is_empty() {
        // Without an index, only the names of the files are known.
        return fs::rename(from, &data).map_err(|error| Error::io("rename to", data, error));
    }
    fs::create_dir_all(&data).map_err(|error| Error::io("create", &data, error))?;
    let mut names = BagNames::new();
    let places = places(view, attached, &mut names);
    for (path, place) in places {
        let target = to.join(&place);
        make_parent(&target)?;
        fs::rename(from.join(path), &target).map_err(|error| Error::io("rename to", target, error))?;
    }
    if let Some(document) = attached {
        let target = to.join(names.place_system_metadata(&document.identifier));
        make_parent(&target)?;
        fs::write(&target, &document.bytes).map_err(|error| Error::io("write", target, error))?;
    }
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))
}

/// Returns the path in the bag for each file of the package.
fn places<'a>(
    view: &'a PackageView,
    attached: Option<&SystemMetadataFile>,
    names: &mut BagNames,
) -> Vec<(&'a str, String)> {
    let mut described: HashMap<&str, &Identifier> = HashMap::new();
    for object in view.entries().filter_map(|entry| entry.object) {
        if let (Some(document), Some(identifier)) = (&object.system_metadata, &object.identifier) {
            described.insert(document, identifier);
        }
    }
    let resource_map = view.index().and_then(|index| index.resource_map());
    let (mut places, mut data) = (Vec::new(), Vec::new());
    for entry in view.entries() {
        let stated = entry.object.and_then(|object| object.format_id.as_deref());
        let format_id = stated.or(attached.map(|document| document.format_id.as_str()));
        let identifier = entry.object.and_then(|object| object.identifier.as_ref());
        let is_resource_map = identifier.is_some() && identifier == resource_map;
        match (described.get(entry.path), identifier, format_id) {
            (Some(described), ..) => places.push((entry.path, names.place_system_metadata(described))),
            (None, Some(identifier), Some(format_id)) if is_resource_map || is_metadata(format_id) => {
                let (file_name, location) = (None, None);
                let object = ObjectToPlace { identifier, format_id, file_name, location, is_resource_map };
                places.push((entry.path, names.place(&object)));
            }
            _ => data.push(entry.path),
        }
    }
    // A package that keeps its data below `data` needs no other paths.
    let is_laid_out = data.iter().all(|path| path.starts_with("data/"));
    let place = |path: &str| if is_laid_out { path.to_owned() } else { format!("data/{path}") };
    places.extend(data.into_iter().map(|path| (path, place(path))));
    places
}

fn is_metadata(format_id: &str) -> bool {
    let format = ObjectFormatList::builtin().get(format_id);
    format.is_some_and(|format| format.format_type == FormatType::Metadata)
}

/// A file of this size or more has 64-bit sizes in its header.
const LARGE_FILE: u64 = 0xFFFF_0000;

/// How many bytes are written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Writes a directory to a new zip file, and removes each file once the zip file holds it. It blocks.
fn write_zip(root: &Path, path: &Path, observer: &Arc<dyn Observer>) -> Result<()> {
    let mut members = Vec::new();
    list(root, "", &mut members)?;
    // Tag files come first, so that a reader knows what follows.
    members.sort_by(|a, b| (is_payload(&a.path), &a.path).cmp(&(is_payload(&b.path), &b.path)));
    let bytes = members.iter().map(|member| member.size).fold(0, u64::saturating_add);
    let phase = RunningPhase::begin(observer, Phase::Pack, members.len() as u64, bytes);
    let file = File::create_new(path).map_err(|error| Error::io("create", path, error))?;
    let mut zip = ZipWriter::new(BufWriter::with_capacity(BUFFER_BYTES, file));
    let failed = |error: ZipError| Error::io("write", path, io::Error::other(error));
    for member in members {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(member.size >= LARGE_FILE);
        let source = root.join(&member.path);
        if member.is_directory {
            zip.add_directory(member.path, options.unix_permissions(0o755)).map_err(failed)?;
            continue;
        }
        zip.start_file(member.path, options.unix_permissions(0o644)).map_err(failed)?;
        let file = File::open(&source).map_err(|error| Error::io("open", &source, error))?;
        let copied = io::copy(&mut WhileWanted { file, observer }, &mut zip)
            .map_err(|error| Error::io("write", path, error))?;
        fs::remove_file(&source).map_err(|error| Error::io("remove", &source, error))?;
        phase.advance(1, copied);
    }
    let written = zip.finish().map_err(failed)?;
    let file = written.into_inner().map_err(|error| Error::io("write", path, error.into_error()))?;
    file.sync_all().map_err(|error| Error::io("write", path, error))
}

/// A file that cannot be read further once nobody waits for the export.
struct WhileWanted<'a> {
    file: File,
    observer: &'a Arc<dyn Observer>,
}

impl io::Read for WhileWanted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.observer.is_cancelled() {
            return Err(io::Error::other("the export was cancelled"));
        }
        self.file.read(buffer)
    }
}

struct Member {
    path: String,
    size: u64,
    /// Whether this is an empty directory. Other directories follow from their files.
    is_directory: bool,
}

fn is_payload(path: &str) -> bool {
    path.starts_with("data/")
}

fn list(root: &Path, directory: &str, members: &mut Vec<Member>) -> Result<()> {
    let place = root.join(directory);
    let failed = |error| Error::io("read", &place, error);
    let mut is_empty = true;
    for entry in fs::read_dir(&place).map_err(failed)? {
        is_empty = false;
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| d1_transfer::Error::NotPushable { path: entry.path() })?;
        let path = format!("{directory}{name}");
        let metadata = entry.metadata().map_err(failed)?;
        if metadata.is_dir() {
            list(root, &format!("{path}/"), members)?;
        } else {
            members.push(Member { path, size: metadata.len(), is_directory: false });
        }
    }
    if is_empty && !directory.is_empty() {
        members.push(Member { path: directory.to_owned(), size: 0, is_directory: true });
    }
    Ok(())
}

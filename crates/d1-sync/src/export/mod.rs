//! Exporting a package as a bag in the layout that DataONE's services use, as a directory or a zip file.

mod arrange;
mod attached;
mod zip;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bagit::{Algorithm, BagBuilder, RepairOptions, Report};
use d1_transfer::parts::{HashProgress, run_blocking};
use d1_transfer::{Observer, OpenPackage, PullOptions, open_package, pull};
use oci_model::{Digest, ManifestRef, annotations};
use registry_backend::RegistryBackend;
use serde::Serialize;
use tempfile::TempDir;

use crate::{Error, Result};

/// What a package becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportForm {
    /// A directory, which is the bag.
    Directory,
    /// A zip file with the bag at its root.
    Zip,
}

/// What was exported.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ExportReport {
    /// Digest of the manifest of the package.
    pub digest: Digest,
    /// Identifier of the package, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// What the package has become.
    pub form: ExportForm,
    /// Number of files in the bag.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What the bag's own manifests say.
    pub bag: Report,
}

/// The manifests that an exported bag has at least: what DataONE's services write, and what is not broken.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Md5, Algorithm::Sha256];

/// Names of working directories, beside the target.
const WORK_PREFIX: &str = ".d1oci-export-";

/// Exports a package, whoever made it, as a bag of version 1.0 with MD5 and SHA-256 manifests, to a path where nothing is.
///
/// A bag stays as it is, but for manifests that it lacks; one with the known faults of DataONE's producers is repaired. Any
/// other package becomes a bag with its data below `data`, science metadata and resource maps in `metadata`, and system
/// metadata in `metadata/sysmeta`. All of it is made beside the target, and renamed when it is right.
///
/// # Errors
///
/// [`Error::TargetExists`]; [`Error::BagIt`] if the package is a bag that is not valid and cannot be repaired; as
/// [`pull`](pull()).
pub async fn export(
    backend: &dyn RegistryBackend,
    at: &ManifestRef,
    target: &Path,
    form: ExportForm,
    observer: &Arc<dyn Observer>,
) -> Result<ExportReport> {
    let work = {
        let target = target.to_owned();
        run_blocking(move || working_directory(&target, form)).await?
    };
    let package = open_package(backend, at).await?;
    let at = ManifestRef::Digest(package.raw.digest().clone());
    // The bag is judged when it is complete.
    let mut options = PullOptions::default();
    options.no_bag_check = true;
    let pulled = work.path().join("pulled");
    fs::create_dir(&pulled).map_err(|error| Error::io("create", &pulled, error))?;
    pull(backend, &at, &pulled, &options, observer).await?;
    let documents = attached::newest_system_metadata(backend, &package).await?;
    let exporting = Exporting { package, pulled, documents, form, observer: Arc::clone(observer) };
    let target = target.to_owned();
    run_blocking(move || exporting.finish(&work, &target)).await
}

/// Makes a directory to work in, beside the target, which has to be free.
fn working_directory(target: &Path, form: ExportForm) -> Result<TempDir> {
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
    let made = tempfile::Builder::new().prefix(WORK_PREFIX).tempdir_in(parent);
    made.map_err(|error| Error::io("create a directory in", parent, error))
}

/// An export whose content has been received.
struct Exporting {
    package: OpenPackage,
    /// The directory that the package was pulled into.
    pulled: PathBuf,
    /// System metadata that refer to an object.
    documents: Vec<arrange::AttachedDocument>,
    form: ExportForm,
    observer: Arc<dyn Observer>,
}

impl Exporting {
    /// Makes the bag, and puts it in its place. It blocks.
    fn finish(self, work: &TempDir, target: &Path) -> Result<ExportReport> {
        let root = self.pulled.join(self.package.view.directory());
        let root = if bagit::is_bag(&root) {
            root
        } else {
            let arranged = work.path().join("bag");
            arrange::arrange(&self.package.view, &root, &arranged, &self.documents)?;
            arranged
        };
        let (report, files, bytes) = self.complete(&root)?;
        let made = match self.form {
            ExportForm::Directory => root,
            ExportForm::Zip => {
                let path = work.path().join("bag.zip");
                zip::write(&root, &path, &self.observer)?;
                path
            }
        };
        fs::rename(&made, target).map_err(|error| Error::io("rename to", target, error))?;
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

    /// Makes sure that the directory is a valid bag with all manifests.
    fn complete(&self, root: &Path) -> Result<(Report, u64, u64)> {
        let mut builder = BagBuilder::new().algorithms(ALGORITHMS);
        let annotations = &self.package.view.manifest().annotations;
        // What is exported twice is the same: the clock is not asked.
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

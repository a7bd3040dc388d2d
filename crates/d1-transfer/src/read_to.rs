//! Reading one file of a package into a file on disk. A second attempt continues the first.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bagit::{Algorithm, AlgorithmSet};
use d1_package::{PieceEncoding, PlannedRead, ReadPlan};
use oci_model::Digest;
use registry_backend::RegistryBackend;
use safe_files::{Existing, ResultFile};

use crate::blocking::run_blocking;
use crate::error::{Error, Result};
use crate::event::{Meter, Observer};
use crate::package::OpenPackage;
use crate::read::read_file;
use crate::receive::file::{Incoming, Partial, receive_file};
use crate::receive::job::Blob;
use crate::receive::remove;
use crate::staging::Staging;

/// Smaller files begin again, in bytes. Their attempts need no directory.
const SMALLEST_RESUMED: u64 = 1 << 20;

/// Writes a whole file of a package to `target`, which appears or is replaced when the content is right.
///
/// A file of 1 MiB or more that is stored in blobs of its own is received beside the target, in a directory that an
/// interrupted attempt leaves for the next one. A device or a pipe is written through.
///
/// # Errors
///
/// As [`read_file`]. [`Error::Busy`] if another process writes the same file.
pub async fn read_file_to(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    path: &str,
    target: &Path,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let plan = package.view.read_plan(path, None);
    if let (Ok(ReadPlan::Pieces(planned)), Some((directory, name))) = (&plan, place_of(target))
        && let Some(blobs) = whole_blobs(planned)
    {
        let selection = Digest::sha256_of(format!("{path}\n{name}").as_bytes());
        let (staging, released) = {
            let (directory, manifest) = (directory.to_owned(), package.raw.digest().clone());
            run_blocking(move || Staging::open(&directory, &manifest, Some(&selection))).await?
        };
        let receiving = Receiving { backend, path, name, blobs: &blobs, sha256: planned.sha256 };
        let result = receiving.run(&staging, &Meter::new(observer)).await;
        drop(staging);
        released.wait().await;
        return result;
    }
    let failed = |error| Error::io("write", target, error);
    let file = ResultFile::create(target, Existing::Replace).map_err(failed)?;
    let file = read_file(backend, package, path, None, file).await?;
    run_blocking(move || file.commit()).await.map_err(failed)
}

/// Returns the directory and the name of a target that is a file or can become one.
fn place_of(target: &Path) -> Option<(&Path, &str)> {
    // A hyphen is standard output.
    let name = target.file_name()?.to_str().filter(|_| target != Path::new("-"))?;
    let directory = match target.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let is_file = fs::symlink_metadata(target).map_or(true, |found| found.is_file());
    (is_file && directory.is_dir()).then_some((directory, name))
}

/// Returns the blobs of a large file that consists of whole blobs.
fn whole_blobs(planned: &PlannedRead<'_>) -> Option<Vec<Blob>> {
    let is_whole = planned
        .pieces
        .iter()
        .all(|piece| piece.encoding == PieceEncoding::Raw && piece.range == (0..piece.descriptor.size));
    let blob = |descriptor: &oci_model::Descriptor| Blob {
        digest: descriptor.digest.clone(),
        size: descriptor.size,
    };
    (is_whole && planned.size >= SMALLEST_RESUMED)
        .then(|| planned.pieces.iter().map(|piece| blob(piece.descriptor)).collect())
}

struct Receiving<'a> {
    backend: &'a dyn RegistryBackend,
    path: &'a str,
    /// Name of the target.
    name: &'a str,
    blobs: &'a [Blob],
    /// SHA-256 of the whole file, if it is known. Otherwise the digests of the blobs count.
    sha256: Option<[u8; 32]>,
}

impl Receiving<'_> {
    async fn run(&self, staging: &Arc<Staging>, meter: &Meter) -> Result<()> {
        let partial = Partial { path: staging.partial(self.name), staging: Arc::clone(staging) };
        let fault = match self.receive(&partial, meter).await? {
            // The bytes of the earlier attempt were not verified.
            (Some(_), true) => {
                remove(Some(&partial)).await?;
                self.receive(&partial, meter).await?.0
            }
            (fault, _) => fault,
        };
        if let Some(fault) = fault {
            remove(Some(&partial)).await?;
            return Err(Error::content(self.path, fault));
        }
        let name = self.name.to_owned();
        run_blocking(move || {
            let Partial { path, staging } = partial;
            staging.keep_only(&mut |_| false)?;
            staging.finish(&path, &name)?;
            staging.publish(true)
        })
        .await
    }

    /// Receives the rest of the file. Returns its fault, and whether it continued an earlier attempt.
    async fn receive(&self, partial: &Partial, meter: &Meter) -> Result<(Option<String>, bool)> {
        let incoming = Incoming {
            blobs: self.blobs,
            algorithms: AlgorithmSet::from(Algorithm::Sha256),
            judge_blobs: self.sha256.is_none(),
            keeping: None,
            partial: Some(partial),
        };
        let came = receive_file(self.backend, incoming, meter).await?;
        let actual = came.digests.get(Algorithm::Sha256).unwrap_or_default();
        let is_right = self.sha256.is_none_or(|expected| expected == actual);
        let wrong = || format!("its content has another digest than {}", hex_of(self.sha256));
        Ok((came.fault.or_else(|| (!is_right).then(wrong)), came.resumed))
    }
}

fn hex_of(sha256: Option<[u8; 32]>) -> String {
    sha256.map(Digest::from_sha256).map(|digest| digest.to_string()).unwrap_or_default()
}

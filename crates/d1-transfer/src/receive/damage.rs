//! Finding out which files of a damaged archive are affected.

use std::io::{self, Read};

use d1_package::{LayerKind, PieceEncoding, Place, ReadPlan};
use oci_model::{Descriptor, DigestAlgorithm, DigestHasher};
use oci_pack::{Compression, Member, MemberReader, members_covering};
use registry_backend::RegistryBackend;

use crate::blocking::{CHUNK_BYTES, read_blocking};
use crate::error::{ContentFault, Error, Result};
use crate::package::OpenPackage;
use crate::read::read_file;
use crate::receive::files::Expected;
use crate::source::read_range;

/// A file, and the offset of its content in the tar archive.
#[derive(Clone, Debug)]
struct Located {
    file: Expected,
    offset: u64,
}

/// A damaged archive with an index.
struct DamagedArchive<'a> {
    backend: &'a dyn RegistryBackend,
    package: &'a OpenPackage,
    descriptor: &'a Descriptor,
    members: &'a [Member],
    compression: Compression,
    /// The files in the order of the archive.
    files: Vec<Located>,
}

/// Returns the faults of files in an archive layer, or only the first one unless `all` are wanted. The result
/// is empty if the damage is outside these files.
///
/// This reads the archive again, and continues behind each damaged place.
///
/// # Errors
///
/// Fails if the store fails.
pub(crate) async fn damaged_files(
    backend: &dyn RegistryBackend,
    package: &OpenPackage,
    layer: usize,
    files: impl Iterator<Item = Expected>,
    all: bool,
) -> Result<Vec<ContentFault>> {
    let locate = |file: Expected| match package.view.entry_at(file.position)?.place {
        Place::Archive { offset, .. } => Some(Located { file, offset }),
        Place::Object { .. } | Place::Parts { .. } => None,
    };
    let mut files: Vec<Located> = files.filter_map(locate).collect();
    files.sort_by_key(|located| located.offset);
    let descriptor = package.view.manifest().layers.get(layer);
    let record = package.view.index().and_then(|index| index.layers().get(layer));
    let compression = files.iter().find_map(|located| compression(package, &located.file));
    let (Some(descriptor), Some(LayerKind::Archive(record)), Some(compression)) =
        (descriptor, record.map(|record| &record.kind), compression)
    else {
        return Ok(Vec::new());
    };
    let members = &record.members;
    DamagedArchive { backend, package, descriptor, members, compression, files }.faults(all).await
}

/// Returns the compression of the archive that holds a file.
fn compression(package: &OpenPackage, file: &Expected) -> Option<Compression> {
    match package.view.read_plan(&file.path, None) {
        Ok(ReadPlan::Pieces(planned)) => match planned.pieces.first()?.encoding {
            PieceEncoding::Members { compression, .. } => Some(compression),
            PieceEncoding::Raw => None,
        },
        _ => None,
    }
}

impl DamagedArchive<'_> {
    async fn faults(&self, all: bool) -> Result<Vec<ContentFault>> {
        let mut faults = Vec::new();
        let mut next = 0;
        while let Some(located) = self.files.get(next) {
            let (found, stopped_at) = self.read_on(next).await?;
            faults.extend(found);
            if !faults.is_empty() && !all {
                faults.truncate(1);
                break;
            }
            let Some(stopped_at) = stopped_at else { break };
            // Members are read whole, so the damage may be outside the file.
            let file = self.files.get(stopped_at).map_or(&located.file, |located| &located.file);
            match read_file(self.backend, self.package, &file.path, None, io::sink()).await {
                Ok(_) => {}
                Err(Error::Content { faults: found }) => faults.extend(found),
                Err(Error::Package(error)) => faults.push(file.fault(error.to_string())),
                Err(error) => return Err(error),
            }
            next = stopped_at + 1;
        }
        Ok(faults)
    }

    /// Reads files in a row. Returns the faults of the readable ones, and the position of the first unreadable
    /// one.
    async fn read_on(&self, first: usize) -> Result<(Vec<ContentFault>, Option<usize>)> {
        let files: Vec<Located> = self.files.get(first..).unwrap_or_default().to_vec();
        let (Some(begin), Some(last)) = (files.first(), files.last()) else { return Ok((Vec::new(), None)) };
        let (start, end) = (begin.offset, last.offset.saturating_add(last.file.size));
        let Ok(covering) = members_covering(self.members, start..end) else {
            return Ok((Vec::new(), Some(first)));
        };
        let Descriptor { digest, size, .. } = self.descriptor;
        let stream = read_range(self.backend, digest, *size, covering.compressed.clone()).await?;
        let compression = self.compression;
        let read = read_blocking(stream, move |reader| {
            let Ok(mut reader) = MemberReader::new(reader, compression, &covering) else {
                return (Vec::new(), Some(0));
            };
            let (mut faults, mut position) = (Vec::new(), start);
            for (number, Located { file, offset }) in files.iter().enumerate() {
                match judge(&mut reader, position, *offset, file) {
                    Ok(fault) => faults.extend(fault),
                    Err(_) => return (faults, Some(number)),
                }
                position = offset.saturating_add(file.size);
            }
            (faults, None)
        });
        let (faults, stopped_at) = read.await?;
        Ok((faults, stopped_at.map(|number| first + number)))
    }
}

/// Skips to a file, reads it, and returns its fault.
fn judge(
    reader: &mut impl Read,
    position: u64,
    offset: u64,
    file: &Expected,
) -> io::Result<Option<ContentFault>> {
    let between = offset.saturating_sub(position);
    io::copy(&mut reader.take(between), &mut io::sink())?;
    let mut hasher = DigestHasher::new(DigestAlgorithm::Sha256);
    let mut content = reader.take(file.size);
    let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(file.size).unwrap_or(CHUNK_BYTES))];
    loop {
        let count = content.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        hasher.update(chunk.get(..count).unwrap_or_default());
    }
    let actual = hasher.finish();
    let is_right = file.sha256.is_none() || actual.sha256_bytes() == file.sha256;
    Ok((!is_right).then(|| file.fault(format!("its content has the digest {actual}"))))
}

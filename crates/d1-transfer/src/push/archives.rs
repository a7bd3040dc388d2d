//! Making the archive layers of a package.

use std::sync::Arc;

use d1_package::{LayerContent, PackageFiles, Plan, PlannedArchive, ReusableArchive};
use oci_pack::{Compression, PackOptions, PackedArchive, pack_archive};

use super::sources::Sources;
use crate::spool::{Spool, SpoolSource, SpoolWriter};
use crate::{Event, Observer, Phase, PushOptions, Result};

/// An archive layer, and its bytes if it was made now.
pub(crate) struct MadeArchive {
    pub(crate) content: LayerContent,
    pub(crate) source: Option<SpoolSource>,
}

/// Makes all archives of a plan that cannot be taken over. It blocks; every core takes part.
pub(crate) fn make_archives(
    plan: &Plan,
    files: &PackageFiles,
    reusable: Vec<Option<ReusableArchive>>,
    sources: &Sources,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<MadeArchive>> {
    let mut reusable = reusable.into_iter();
    let archives: Vec<(&PlannedArchive, Option<ReusableArchive>)> =
        plan.archives().map(|archive| (archive, reusable.next().flatten())).collect();
    let to_pack = archives.iter().filter(|(_, reused)| reused.is_none());
    let phase = Phase::Pack;
    let (items, bytes) = to_pack.fold((0, 0), |(items, bytes), (archive, _)| {
        (items + archive.files.len() as u64, bytes + content_size(archive, files))
    });
    if items > 0 {
        observer.event(&Event::Began { phase, items, bytes });
    }
    let make = |(archive, reused): (&PlannedArchive, Option<ReusableArchive>)| match reused {
        Some(reused) => Ok(MadeArchive { content: LayerContent::Reused(reused), source: None }),
        None => pack(plan, archive, files, sources, options, observer),
    };
    let made = archives.into_iter().map(make).collect();
    if items > 0 {
        observer.event(&Event::Ended { phase });
    }
    made
}

fn content_size(archive: &PlannedArchive, files: &PackageFiles) -> u64 {
    let sizes = archive.files.iter().filter_map(|position| files.files().get(*position as usize));
    sizes.map(|file| file.size).sum()
}

fn pack(
    plan: &Plan,
    archive: &PlannedArchive,
    files: &PackageFiles,
    sources: &Sources,
    options: &PushOptions,
    observer: &Arc<dyn Observer>,
) -> Result<MadeArchive> {
    let listed = plan.entries(archive, files);
    let open = |entry: usize| {
        let file = listed.files.get(entry).copied().flatten();
        let file = file.and_then(|position| files.files().get(position as usize));
        let file = file.ok_or_else(|| std::io::Error::other("the entry is no file"))?;
        // The file has been hashed before; now that its turn comes it is one item of the progress.
        observer.event(&Event::Advanced { phase: Phase::Pack, items: 1, bytes: 0 });
        sources.open(&file.path)
    };
    let progress = |bytes| observer.event(&Event::Advanced { phase: Phase::Pack, items: 0, bytes });
    let pack_options =
        PackOptions { compression: options.compression, progress: Some(&progress), ..PackOptions::default() };
    let mut writer = SpoolWriter::new(&options.temporary_directory);
    let packed = pack_archive(&listed.entries, &open, &pack_options, &mut writer)?;
    let spool =
        writer.finish().map_err(|error| crate::Error::io("write", &options.temporary_directory, error))?;
    Ok(MadeArchive { source: Some(source(spool, &packed)), content: LayerContent::Packed(packed) })
}

fn source(spool: Spool, packed: &PackedArchive) -> SpoolSource {
    SpoolSource { spool, digest: packed.blob_digest.clone(), size: packed.blob_size }
}

/// Returns the archives that can be taken over from what is replaced: none if all are to be made anew.
pub(crate) fn reusable(
    plan: &Plan,
    files: &PackageFiles,
    replaced: Option<&d1_package::PackageIndex>,
    compression: Compression,
) -> Vec<Option<ReusableArchive>> {
    match replaced {
        Some(index) => d1_package::reusable_archives(plan, files, index, compression),
        None => Vec::new(),
    }
}

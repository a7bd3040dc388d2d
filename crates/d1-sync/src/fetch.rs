//! Downloads of packages from DataONE into bags on disk.

use std::path::Path;
use std::sync::Arc;

use bagit::{CheckOptions, Digests};
use d1_model::Identifier;
use d1_transfer::parts::{Meter, RunningPhase, Staging, below, run_blocking};
use d1_transfer::{Observer, Phase};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use oci_model::Digest;
use serde::Serialize;

use crate::describe::{Selection, describe};
use crate::error::{Error, Result};
use crate::node::{DataOneSource, Downloading, download};
use crate::package::{DescribedObject, DescribedPackage, SkippedMember, make_bag};

/// How to fetch.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FetchOptions {
    /// Whether to fetch private members too.
    pub include_private: bool,
    /// Whether to leave out members that no node has. Otherwise the package is refused.
    pub skip_missing: bool,
    /// Whether to replace other files at the target.
    pub overwrite: bool,
    /// How many objects are read at once.
    pub parallel: usize,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { include_private: false, skip_missing: false, overwrite: false, parallel: 4 }
    }
}

/// Fetches the package of a resource map into a bag below the directory `output`. Each object is compared with
/// its system metadata.
///
/// The same package always gives the same bag. A fetch resumes the work of an interrupted one.
///
/// # Errors
///
/// [`Error::Members`] with every member that cannot be read or is wrong. [`Error::Node`] if the map cannot be
/// read. [`Error::NotPublic`] if the map is private. [`Error::Transfer`] if other files exist at the target.
/// After an error, no file has its final name.
///
/// ```no_run
/// use std::path::Path;
/// use std::sync::Arc;
///
/// use d1_client::{ClientOptions, NodeClient};
/// use d1_sync::{DataOneSource, FetchOptions, fetch, find_resource_map};
/// use d1_transfer::{Observer, Silent};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let node = NodeClient::new("https://arcticdata.io/metacat/d1/mn", &ClientOptions::default())?;
/// let source = DataOneSource::Node(node);
/// let observer: Arc<dyn Observer> = Arc::new(Silent);
/// let map = find_resource_map(&source, &"doi:10.18739/A2D795C92".parse()?).await?;
/// let report = fetch(&source, &map, Path::new("bags"), &FetchOptions::default(), &observer).await?;
/// println!("bags/{}", report.directory);
/// # Ok(())
/// # }
/// ```
pub async fn fetch(
    source: &DataOneSource,
    map: &Identifier,
    output: &Path,
    options: &FetchOptions,
    observer: &Arc<dyn Observer>,
) -> Result<FetchReport> {
    let (staging, released) = {
        let (output, key) = (output.to_owned(), Digest::sha256_of(format!("fetch {map}").as_bytes()));
        run_blocking(move || Staging::open(&output, &key, None)).await?
    };
    let result = Fetching { source, options, observer, staging: Arc::clone(&staging) }.run(map).await;
    drop(staging);
    released.wait().await;
    result
}

struct Fetching<'a> {
    source: &'a DataOneSource,
    options: &'a FetchOptions,
    observer: &'a Arc<dyn Observer>,
    staging: Arc<Staging>,
}

impl Fetching<'_> {
    async fn run(&self, map: &Identifier) -> Result<FetchReport> {
        let meter = Meter::new(self.observer);
        let selection = Selection {
            include_private: self.options.include_private,
            skip_missing: self.options.skip_missing,
        };
        let bag = self.staging.files().join("bag");
        let (files, name) = (self.staging.files(), bag.clone());
        let is_new = !run_blocking(move || take_back(&files, &name)).await?;
        let package = describe(self.source, map, selection, &bag, &meter).await?;
        package.warn_of_skipped(&**self.observer);
        let objects = self.objects(&package, &bag, is_new, &meter).await?;
        let report = FetchReport {
            identifier: package.identifier.clone(),
            resource_map: package.resource_map.clone(),
            directory: package.directory.clone(),
            objects: package.objects.len() as u64,
            bytes: package.bytes(),
            received_bytes: meter.bytes(),
            skipped: package.skipped.clone(),
            nested: package.nested.clone(),
        };
        let (staging, overwrite) = (Arc::clone(&self.staging), self.options.overwrite);
        run_blocking(move || finish(&staging, &package, objects, overwrite)).await?;
        Ok(report)
    }

    async fn objects(
        &self,
        package: &DescribedPackage,
        bag: &Path,
        is_new: bool,
        meter: &Meter,
    ) -> Result<Vec<Digests>> {
        let (items, bytes) = (package.objects.len() as u64, package.bytes());
        let phase = RunningPhase::begin(self.observer, Phase::Download, items, bytes);
        let (source, algorithms) = (self.source, package.algorithms);
        let downloading = Downloading { source, staging: bag, algorithms, meter, is_new };
        // The map has been downloaded before.
        let map = Downloading { is_new: false, ..downloading };
        let (downloading, map, phase) = (&downloading, &map, &phase);
        let downloads = (0..package.objects.len()).filter_map(|number| {
            let object = package.objects.get(number)?;
            let is_map = object.record.identifier == package.resource_map;
            Some(one(if is_map { map } else { downloading }, object, phase).boxed())
        });
        let parallel = self.options.parallel.max(1);
        let downloads: Vec<_> = stream::iter(downloads).buffered(parallel).try_collect().await?;
        Error::gather_members(downloads)
    }
}

/// Downloads one object. Faults of members are collected; any other error ends the fetch.
async fn one(
    downloading: &Downloading<'_>,
    object: &DescribedObject,
    phase: &RunningPhase,
) -> Result<Result<Digests>> {
    let result = download(downloading, object).await;
    phase.advance(1, 0);
    Error::unless_of_member(result)
}

/// Tells whether an earlier attempt left a bag. A complete one gets its first name again, if that attempt ended after it named the bag
/// and before it published it.
fn take_back(files: &Path, bag: &Path) -> Result<bool> {
    let failed = |error| Error::io("list", files, error);
    if bag.exists() {
        return Ok(true);
    }
    for entry in std::fs::read_dir(files).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            let renamed = std::fs::rename(entry.path(), bag);
            return renamed.map(|()| true).map_err(|error| Error::io("rename", entry.path(), error));
        }
    }
    Ok(false)
}

/// Makes a bag of the downloaded files, validates it, and gives it its name.
fn finish(
    staging: &Staging,
    package: &DescribedPackage,
    objects: Vec<Digests>,
    overwrite: bool,
) -> Result<()> {
    let bag = staging.files().join("bag");
    let scan = make_bag(package, objects.iter().map(Digests::view), &bag)?;
    drop(objects);
    let report = bagit::check(&scan.inventory, &scan.tag_files, &CheckOptions::default());
    if !report.valid {
        return Err(d1_transfer::Error::InvalidBag { directory: bag, report: Box::new(report) }.into());
    }
    let final_name = staging.files().join(&package.directory);
    std::fs::rename(&bag, &final_name).map_err(|error| Error::io("rename", &bag, error))?;
    // Remove files of an earlier attempt with another selection.
    let belongs =
        |path: &str| below(&package.directory, path).is_some_and(|path| scan.inventory.file(path).is_some());
    staging.keep_only(&mut |path| belongs(path))?;
    let data = final_name.join("data");
    std::fs::create_dir_all(&data).map_err(|error| Error::io("create", &data, error))?;
    Ok(staging.publish(overwrite)?)
}

/// The result of a fetch.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct FetchReport {
    /// Identifier of the package.
    pub identifier: Identifier,
    /// Identifier of its resource map.
    pub resource_map: Identifier,
    /// Name of the bag's directory.
    pub directory: String,
    /// Number of objects in the bag, the map included.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Number of bytes received from nodes, without those of an earlier attempt.
    pub received_bytes: u64,
    /// Members that were left out.
    pub skipped: Vec<SkippedMember>,
    /// Resource maps of packages within this one.
    pub nested: Vec<Identifier>,
}

//! A catalogue as an artifact of its repository, from which readers start.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use d1_transfer::parts::{concerns_content, read_blocking, read_range, run_blocking};
use d1_transfer::{FileToPush, Observer, PushOptions, PushReport, push_files};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use oci_model::{Descriptor, DigestHasher, ManifestRef, MediaType, Tag};
use registry_backend::{ErrorKind, RegistryBackend, RegistryBackendExt};
use rusqlite::{Connection, OpenFlags};

use crate::cataloged::CatalogedRepository;
use crate::error::{Error, Result};
use crate::store::{Catalog, MIGRATIONS, check_header, failed};

/// The tag of a published catalogue.
pub const CATALOG_TAG: &str = "d1-catalog";

/// Artifact type of a published catalogue, and media type of its file: an SQLite file, compressed by gzip.
pub const CATALOG_ARTIFACT_TYPE: &str = "application/vnd.dataone.catalog.v1.sqlite3+gzip";

/// Title of the file.
const TITLE: &str = "d1-catalog.sqlite3.gz";

/// Name of the repository in a published catalogue. Each reader has its own name for it.
const PUBLISHED_NAME: &str = "published";

/// The most bytes of a catalogue for each byte of its file, and the most bytes of all.
const MAX_RATIO: u64 = 200;
const MAX_BYTES: u64 = 64 << 30;

impl CatalogedRepository<'_> {
    /// Brings the catalogue up to date and publishes it under [`CATALOG_TAG`]. Temporary files need twice the space of the
    /// catalogue.
    ///
    /// # Errors
    ///
    /// As [`Catalog::update`], and if a temporary file or the repository cannot be written.
    pub async fn publish(&self, options: &PushOptions, observer: &Arc<dyn Observer>) -> Result<PushReport> {
        self.update(&crate::UpdateOptions::default(), observer).await?;
        let place = tempfile::tempdir_in(&options.temporary_directory);
        let place = place.map_err(|error| io_failure("copy", &options.temporary_directory, error))?;
        let path = place.path().join(TITLE);
        let (catalog, name, target) = (self.catalog.clone(), self.name.to_owned(), path.clone());
        run_blocking(move || catalog.pack(&name, &target)).await?;
        let media_type: MediaType = MediaType::from_static(CATALOG_ARTIFACT_TYPE);
        let mut options = options.clone();
        options.tags = CATALOG_TAG.parse::<Tag>().into_iter().collect();
        options.artifact_type = Some(media_type.clone());
        let file = FileToPush { path, title: TITLE.to_owned(), media_type: Some(media_type) };
        Ok(push_files(self.backend, &[file], &options, observer).await?)
    }
}

impl Catalog {
    /// Makes a catalogue of one repository from the one that the repository publishes. Returns `false` if it publishes none, or
    /// the file exists.
    ///
    /// The content of a published catalogue is a claim of its publisher. An update reads new artifacts, but does not read known
    /// ones again: a program that serves bytes must not start from it.
    ///
    /// # Errors
    ///
    /// [`Error::Published`] if the published catalogue is damaged or of another version. Also fails if the repository
    /// cannot be read, or the file cannot be written.
    pub async fn start_from_published(
        path: &Path,
        backend: &dyn RegistryBackend,
        name: &str,
    ) -> Result<bool> {
        let Ok(tag) = CATALOG_TAG.parse::<Tag>() else { return Ok(false) };
        if path.exists() {
            return Ok(false);
        }
        let (_, manifest) = match backend.read_image_manifest(&ManifestRef::Tag(tag)).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) if concerns_content(error.kind()) => return Err(published(error.to_string())),
            found => found?,
        };
        let is_catalog = |layer: &&Descriptor| layer.media_type.as_str() == CATALOG_ARTIFACT_TYPE;
        let Some(layer) = manifest.layers.first().filter(is_catalog).cloned() else { return Ok(false) };
        let hasher = DigestHasher::matching(&layer.digest);
        let hasher = hasher.ok_or_else(|| published("its digest has an unknown algorithm".to_owned()))?;
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let temporary = tempfile::NamedTempFile::new_in(directory);
        let temporary = temporary.map_err(|error| io_failure("write", directory, error))?;
        let stream = read_range(backend, &layer.digest, layer.size, 0..layer.size).await?;
        let (target, digest) = (temporary.path().to_owned(), layer.digest.clone());
        let most = layer.size.saturating_mul(MAX_RATIO).min(MAX_BYTES);
        let inflated = read_blocking(stream, move |reader| {
            let mut reader = multi_digest::HashingReader::new(reader, hasher);
            inflate(&mut reader, &target, most)?;
            let actual = reader.into_hasher().finish();
            if actual == digest {
                Ok(())
            } else {
                Err(io::Error::other(format!("expected {digest}, found {actual}")))
            }
        });
        inflated.await?.map_err(|error| published(error.to_string()))?;
        let (name, checked) = (name.to_owned(), temporary.path().to_owned());
        run_blocking(move || adopt(&checked, &name)).await?;
        match temporary.persist_noclobber(path) {
            Ok(_) => Ok(true),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(io_failure("write", path, error.error)),
        }
    }

    /// Writes a compressed copy with one repository alone.
    fn pack(&self, repository: &str, target: &Path) -> Result<()> {
        let copy = target.with_extension("copy");
        self.copy_to(&copy)?;
        let run = |error| failed(&copy, "copy", error);
        let connection = Connection::open(&copy).map_err(run)?;
        let one = || {
            connection.pragma_update(None, "foreign_keys", true)?;
            let others = "SELECT name FROM repository WHERE name <> ?1";
            let mut others = connection.prepare(others)?;
            let others = others
                .query_map([repository], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            for other in &others {
                crate::write::remove_repository(&connection, other)?;
            }
            connection.execute("UPDATE repository SET name = ?1", [PUBLISHED_NAME])?;
            connection.pragma_update(None, "journal_mode", "delete")?;
            if !others.is_empty() {
                connection.execute("VACUUM", [])?;
            }
            Ok(())
        };
        one().map_err(run)?;
        drop(connection);
        let compress = || {
            let mut encoder = GzEncoder::new(BufWriter::new(File::create(target)?), Compression::new(6));
            io::copy(&mut BufReader::new(File::open(&copy)?), &mut encoder)?;
            encoder.finish()?.flush()?;
            fs::remove_file(&copy)
        };
        compress().map_err(|error| io_failure("copy", target, error))
    }
}

fn inflate(reader: &mut impl Read, target: &PathBuf, most: u64) -> io::Result<()> {
    let mut output = BufWriter::new(File::create(target)?);
    let mut decoder = MultiGzDecoder::new(&mut *reader).take(most);
    io::copy(&mut decoder, &mut output)?;
    if decoder.limit() == 0 {
        return Err(io::Error::other(format!("expected at most {most} bytes, found more")));
    }
    output.flush()?;
    // The digest covers the whole blob.
    io::copy(reader, &mut io::sink()).map(drop)
}

/// Checks the file of a published catalogue, and gives its repository the reader's name.
fn adopt(path: &Path, name: &str) -> Result<()> {
    let invalid = |error: rusqlite::Error| published(error.to_string());
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(invalid)?;
    // Triggers and views of a stranger could run anything, so the schema must be ours, word for word.
    connection.pragma_update(None, "trusted_schema", false).map_err(invalid)?;
    check_header(path, &connection)?;
    if schema(&connection).map_err(invalid)? != expected_schema().map_err(invalid)? {
        return Err(published("expected the schema of this version, found another one".to_owned()));
    }
    let check: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(invalid)?;
    if check != "ok" {
        return Err(published(check));
    }
    let count: i64 =
        connection.query_row("SELECT count(*) FROM repository", [], |row| row.get(0)).map_err(invalid)?;
    if count != 1 {
        return Err(published(format!("expected one repository, found {count}")));
    }
    connection.execute("UPDATE repository SET name = ?1", [name]).map_err(invalid)?;
    Ok(())
}

fn schema(connection: &Connection) -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let sql =
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name";
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
}

fn expected_schema() -> rusqlite::Result<Vec<(String, String, Option<String>)>> {
    let connection = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|step| connection.execute_batch(step))?;
    schema(&connection)
}

fn published(reason: String) -> Error {
    Error::Published { reason }
}

fn io_failure(operation: &'static str, path: &Path, error: io::Error) -> Error {
    Error::Catalog { operation, path: path.to_owned(), is_busy: false, source: Box::new(error) }
}

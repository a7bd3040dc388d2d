//! The rows of a catalogue as values, and their mapping to SQL.

use std::ops::Range;

use bagit::{Algorithm, Digests, DigestsView};
use d1_model::SchemaVersion;
use d1_package::{ArtifactState, PieceEncoding, Place};
use jiff::Timestamp;
use oci_model::{Digest, MediaType, Tag};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Serialize, Serializer};

use crate::artifact::{ArtifactKind, ArtifactSummary};

/// Names an artifact of a catalogue, until the artifact leaves the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PackageId(pub(crate) i64);

/// Names a file of a catalogue, until its artifact leaves the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FileId(pub(crate) i64);

/// Names an object of a catalogue, as long as a copy of it is there. Numbers of removed objects are given to new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(u32);

impl FromSql for ObjectId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        u32::column_result(value).map(Self)
    }
}

impl ToSql for ObjectId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(i64::from(self.0).into())
    }
}

/// Some of the rows that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The number of all rows that match.
    pub total: u64,
    /// The rows of this page.
    pub items: Vec<T>,
}

/// A repository in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RepositoryStatus {
    /// Its name, as its backend displays it.
    pub name: String,
    /// The end of the last complete update.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub updated: Option<Timestamp>,
    /// Number of tags.
    pub tags: u64,
    /// Number of packages.
    pub packages: u64,
    /// Number of different objects.
    pub objects: u64,
    /// Number of files.
    pub files: u64,
    /// Number of tags whose manifest cannot be read.
    pub unreadable: u64,
}

#[expect(clippy::ref_option, reason = "serde passes it so")]
fn as_text<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.collect_str(time),
        None => serializer.serialize_none(),
    }
}

/// A package of a catalogue, or another artifact that a tag names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CatalogPackage {
    /// Its row.
    #[serde(skip)]
    pub id: PackageId,
    /// The repository.
    pub repository: String,
    /// The facts in its manifest.
    #[serde(flatten)]
    pub summary: ArtifactSummary,
    /// All tags that name it, in the order of the store.
    pub tags: Vec<String>,
    /// The directory that it unpacks into; empty if it names none.
    pub directory: String,
    /// Number of its known files.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Whether the object that gave the package its identifier is archived.
    pub archived: bool,
    /// The identifier of the version that replaces it, as its manifest or a newer version in the catalogue states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obsoleted_by: Option<String>,
    /// The licence in its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Whether everybody may read all objects that have system metadata.
    pub is_public: bool,
    /// Whether any object has system metadata.
    pub has_system_metadata: bool,
    /// Whether archives without an index hold files that the catalogue does not know.
    pub has_unlisted_files: bool,
    /// Why the index of the package cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// A file of a package in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogFile {
    /// Its row.
    pub id: FileId,
    /// Its package.
    pub package: PackageId,
    /// The repository.
    pub repository: String,
    /// Digest of the manifest of the package.
    pub manifest: Digest,
    /// Path below the directory of the package.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Media type, by format, else by extension.
    pub media_type: String,
    /// All digests that the package states.
    pub digests: Digests,
    /// CRC-32 of the content, if it was computed once.
    pub crc32: Option<u32>,
    /// DataONE identifier.
    pub pid: Option<String>,
    /// DataONE object format identifier.
    pub format_id: Option<String>,
    pub(crate) place: Place,
}

impl CatalogFile {
    /// Returns the SHA-256 of the content, if the package states it.
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.digests.get(Algorithm::Sha256)?.try_into().ok()
    }

    /// Returns the name of the file without its directory.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// A directory of a package in a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CatalogDirectory {
    #[serde(skip)]
    pub(crate) id: i64,
    #[serde(skip)]
    pub(crate) rows: (i64, i64),
    /// Its package.
    #[serde(skip)]
    pub package: PackageId,
    /// Path without a slash at its end; empty for the root.
    pub path: String,
    /// Number of all files below it.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// A range of a blob that holds bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobPiece {
    /// The blob.
    pub blob: Digest,
    /// Its size in bytes.
    pub blob_size: u64,
    /// The bytes to read.
    pub range: Range<u64>,
    /// Their encoding.
    pub encoding: PieceEncoding,
    /// The number of bytes that they decode to.
    pub decoded: u64,
}

/// An object of a catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CatalogObject {
    /// Its identifier.
    pub pid: String,
    /// The copy that stands for it: the one with the newest system metadata.
    pub file: CatalogFile,
    /// The facts in the system metadata of this copy.
    pub system_metadata: Option<SystemMetadataFacts>,
    /// The place of the document.
    pub system_metadata_place: Option<DocumentPlace>,
    /// The version that replaces it, as its system metadata or those of the newer version state.
    pub obsoleted_by: Option<String>,
    /// Whether another copy with this identifier has different content.
    pub conflict: bool,
}

impl CatalogObject {
    /// Returns whether system metadata say that everybody may read the object.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.system_metadata.as_ref().is_some_and(|facts| facts.is_public)
    }

    /// Returns the date of the last change of its system metadata.
    #[must_use]
    pub fn modified(&self) -> Option<Timestamp> {
        self.system_metadata.as_ref()?.date_modified
    }
}

/// The facts in a system metadata document. Times have milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemMetadataFacts {
    /// Version of the schema of the stored document.
    pub schema_version: SchemaVersion,
    /// Counts the changes.
    pub serial_version: Option<u64>,
    /// Format of the object.
    pub format_id: String,
    /// Size of the object in bytes.
    pub size: u64,
    /// Algorithm of the checksum, as the document spells it.
    pub checksum_algorithm: String,
    /// The checksum, hexadecimal.
    pub checksum: String,
    /// Who sent the object.
    pub submitter: Option<String>,
    /// Who may do everything; empty if the document does not say.
    pub rights_holder: String,
    /// Whether everybody may read the object.
    pub is_public: bool,
    /// Whether the object is hidden from search.
    pub archived: bool,
    /// Series identifier.
    pub series_id: Option<String>,
    /// The version before the object.
    pub obsoletes: Option<String>,
    /// The version after the object, as the document states.
    pub obsoleted_by: Option<String>,
    /// When the object was uploaded.
    pub date_uploaded: Option<Timestamp>,
    /// When the document was changed last.
    pub date_modified: Option<Timestamp>,
    /// The node that the object came from.
    pub origin_node: Option<String>,
    /// The node that speaks for the object.
    pub authoritative_node: Option<String>,
    /// The nodes that have replicas.
    pub replica_nodes: Vec<String>,
    /// Media type.
    pub media_type: Option<String>,
    /// The suggested file name; not safe as a path.
    pub file_name: Option<String>,
}

/// The place of a system metadata document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentPlace {
    /// A file of the package.
    File(Box<CatalogFile>),
    /// The only blob of an artifact that refers to the object.
    Referrer {
        /// The repository.
        repository: String,
        /// Digest of the manifest.
        manifest: Digest,
        /// The blob.
        blob: Digest,
        /// Its size in bytes.
        size: u64,
    },
}

/// A digest in a column.
pub(crate) struct DigestColumn(pub(crate) Digest);

impl ToSql for DigestColumn {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0.sha256_bytes() {
            Some(bytes) => ToSqlOutput::Owned(Value::Blob(bytes.to_vec())),
            None => ToSqlOutput::Borrowed(ValueRef::Text(self.0.as_str().as_bytes())),
        })
    }
}

impl FromSql for DigestColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => {
                bytes.try_into().map(|bytes| Self(Digest::from_sha256(bytes))).map_err(FromSqlError::other)
            }
            other => other.as_str()?.parse().map(Self).map_err(FromSqlError::other),
        }
    }
}

/// A tag in a column.
pub(crate) struct TagColumn(pub(crate) Tag);

impl FromSql for TagColumn {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map(Self).map_err(FromSqlError::other)
    }
}

/// A number that is never negative. SQLite has no unsigned integers; sizes beyond 2^63 are cut.
pub(crate) struct Count(pub(crate) u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(Self(u64::try_from(value.as_i64()?).unwrap_or(0)))
    }
}

/// Returns the number as SQLite stores it.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(crate) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, Count>(column).map(|count| count.0)
}

/// Returns the time of a column with milliseconds.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let stored: Option<i64> = row.get(column)?;
    Ok(stored.and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()))
}

/// The columns of [`file()`], for [`FILE_TABLES`].
pub(crate) const FILE_COLUMNS: &str = "file.id, directory.artifact, repository.name, artifact.digest, \
     directory.path, file.name, file.size, media.value, file.sha256, file.digests, crc.crc32, object.identifier, \
     format.value, file.layer, file.parts, file.offset";

/// The tables that hold the facts about a file.
pub(crate) const FILE_TABLES: &str = "file JOIN directory ON directory.id = file.directory \
     JOIN artifact ON artifact.id = directory.artifact JOIN repository ON repository.id = artifact.repository \
     JOIN term AS media ON media.id = file.media_type LEFT JOIN term AS format ON format.id = file.format \
     LEFT JOIN object ON object.id = file.object LEFT JOIN crc ON crc.sha256 = file.sha256";

/// Reads the columns [`FILE_COLUMNS`].
pub(crate) fn file(row: &Row<'_>) -> rusqlite::Result<CatalogFile> {
    let (directory, name): (String, String) = (row.get(4)?, row.get(5)?);
    let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
    let others: Option<Vec<u8>> = row.get(9)?;
    let mut digests =
        others.as_deref().and_then(DigestsView::from_bytes).map(DigestsView::to_digests).unwrap_or_default();
    if let Some(sha256) = row.get::<_, Option<Vec<u8>>>(8)? {
        digests.insert(Algorithm::Sha256, &sha256);
    }
    let layer = row.get(13)?;
    let place = match (row.get(14)?, row.get::<_, Option<i64>>(15)?) {
        (Some(count), _) => Place::Parts { first: layer, count },
        (None, Some(offset)) => Place::Archive { layer, offset: offset.unsigned_abs() },
        (None, None) => Place::Object { layer },
    };
    Ok(CatalogFile {
        id: FileId(row.get(0)?),
        package: PackageId(row.get(1)?),
        repository: row.get(2)?,
        manifest: row.get::<_, DigestColumn>(3)?.0,
        path,
        size: count(row, 6)?,
        media_type: row.get(7)?,
        digests,
        crc32: row.get(10)?,
        pid: row.get(11)?,
        format_id: row.get(12)?,
        place,
    })
}

/// The columns of [`package`], for [`PACKAGE_TABLES`].
pub(crate) const PACKAGE_COLUMNS: &str = "artifact.id, repository.name, artifact.digest, artifact.tag, artifact.kind, \
     type.value, artifact.identifier, artifact.resource_map, artifact.series, artifact.obsoletes, artifact.title, \
     artifact_format.value, artifact.created, artifact.stored_bytes, artifact.directory, artifact.files, \
     artifact.bytes, artifact.archived, artifact.obsoleted_by, artifact.license, artifact.hidden, \
     artifact.documented, artifact.unlisted, artifact.fault";

/// The tables that hold the facts about an artifact.
pub(crate) const PACKAGE_TABLES: &str = "artifact JOIN repository ON repository.id = artifact.repository \
     LEFT JOIN term AS type ON type.id = artifact.artifact_type \
     LEFT JOIN term AS artifact_format ON artifact_format.id = artifact.format";

/// Reads the columns of [`PACKAGE_COLUMNS`] that a summary has: all but the content digest.
pub(crate) fn summary(row: &Row<'_>) -> rusqlite::Result<ArtifactSummary> {
    let mut state = ArtifactState::default();
    state.archived = row.get(17)?;
    state.obsoleted_by = row.get(18)?;
    state.not_public = count(row, 20)?;
    Ok(ArtifactSummary {
        state,
        digest: row.get::<_, DigestColumn>(2)?.0,
        tag: row.get::<_, TagColumn>(3)?.0,
        kind: Some(kind_of(row.get(4)?)),
        artifact_type: row.get::<_, Option<String>>(5)?.map(MediaType::received),
        identifier: row.get(6)?,
        resource_map: row.get(7)?,
        series_id: row.get(8)?,
        obsoletes: row.get(9)?,
        title: row.get(10)?,
        format_id: row.get(11)?,
        created: row.get(12)?,
        stored_bytes: Some(count(row, 13)?),
    })
}

/// Reads the columns [`PACKAGE_COLUMNS`], and the tags and the newer version of the artifact.
pub(crate) fn package(connection: &Connection, row: &Row<'_>) -> rusqlite::Result<CatalogPackage> {
    let id = row.get(0)?;
    let summary = summary(row)?;
    let mut tags =
        connection.prepare_cached("SELECT name FROM tag WHERE artifact = ?1 ORDER BY position LIMIT 1000")?;
    let tags = tags.query_map([id], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut obsoleted_by: Option<String> = row.get(18)?;
    if let (None, Some(identifier)) = (&obsoleted_by, &summary.identifier) {
        let mut newer = connection.prepare_cached(
            "SELECT newer.identifier FROM artifact AS newer WHERE newer.obsoletes = ?1 AND newer.identifier <> ?1 \
             AND newer.repository = (SELECT repository FROM artifact WHERE id = ?2) \
             ORDER BY newer.created_at DESC, newer.id DESC LIMIT 1",
        )?;
        obsoleted_by = newer.query_row((identifier, id), |row| row.get(0)).optional()?;
    }
    Ok(CatalogPackage {
        id: PackageId(id),
        repository: row.get(1)?,
        summary,
        tags,
        directory: row.get(14)?,
        files: count(row, 15)?,
        bytes: count(row, 16)?,
        archived: row.get(17)?,
        obsoleted_by,
        license: row.get(19)?,
        is_public: row.get::<_, i64>(20)? == 0,
        has_system_metadata: row.get::<_, i64>(21)? > 0,
        has_unlisted_files: row.get(22)?,
        fault: row.get(23)?,
    })
}

/// Returns the number of a kind in the column `kind`.
pub(crate) fn kind_number(kind: ArtifactKind) -> i64 {
    match kind {
        ArtifactKind::Package => 0,
        ArtifactKind::Object => 1,
        ArtifactKind::Index => 2,
        ArtifactKind::Artifact => 3,
    }
}

fn kind_of(number: i64) -> ArtifactKind {
    match number {
        0 => ArtifactKind::Package,
        1 => ArtifactKind::Object,
        2 => ArtifactKind::Index,
        _ => ArtifactKind::Artifact,
    }
}

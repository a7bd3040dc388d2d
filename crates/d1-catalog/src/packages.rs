//! Packages of a catalogue, their directories and files, and the places of content.

use std::collections::HashSet;
use std::ops::Range;

use bagit::Algorithm;
use d1_model::Identifier;
use d1_package::{PieceEncoding, Place, archive_compression};
use oci_model::{Digest, MediaType};
use oci_pack::{Member, MemberRange, members_covering};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use crate::artifact::ArtifactKind;
use crate::error::{Error, Result};
use crate::members;
use crate::rows::{
    BlobPiece, CatalogDirectory, CatalogFile, CatalogPackage, Count, DigestColumn, FILE_COLUMNS, FILE_TABLES,
    FileId, PACKAGE_COLUMNS, PACKAGE_TABLES, PackageId, Page, RepositoryStatus, count, file, kind_number,
    package, stored, time,
};
use crate::store::Catalog;

/// Names a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageKey<'a> {
    /// By its row.
    Id(PackageId),
    /// By its identifier, that of its resource map, or that of its series.
    Identifier(&'a str),
    /// By a tag.
    Tag {
        /// The repository.
        repository: &'a str,
        /// The tag.
        tag: &'a str,
    },
    /// By the digest of its manifest.
    Digest(&'a Digest),
}

/// A filter of packages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PackageFilter {
    /// Only packages of this repository.
    pub repository: Option<String>,
    /// Only packages that no other package of the repository replaces.
    pub current_only: bool,
    /// Only packages all of whose objects everybody may read.
    pub public_only: bool,
    /// Only artifacts of these kinds. If there are none: packages and objects.
    pub kinds: Vec<ArtifactKind>,
}

/// Counts of packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// Number of packages.
    pub packages: u64,
    /// Number of their files.
    pub files: u64,
    /// Size of these files in bytes.
    pub bytes: u64,
}

/// How many places of one content are returned.
const MOST_LOCATIONS: u64 = 1000;

/// How many versions of a package are returned, and how many packages that hold an object.
const MOST_PACKAGES: usize = 10_000;

impl Catalog {
    /// Returns a number that grows with every change.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read. This holds for all methods that read.
    pub fn generation(&self) -> Result<u64> {
        self.read("read", |connection| {
            connection.query_row("SELECT generation FROM state", [], |row| count(row, 0))
        })
    }

    /// Returns whether a repository was completely read once.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn contains(&self, repository: &str) -> Result<bool> {
        self.read("read", |connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM repository WHERE name = ?1 AND updated IS NOT NULL)";
            connection.query_row(sql, [repository], |row| row.get(0))
        })
    }

    /// Returns the repositories by name.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn repositories(&self) -> Result<Vec<RepositoryStatus>> {
        self.read("read", |connection| {
            let mut statement = connection.prepare(
                "SELECT name, updated, (SELECT count(*) FROM tag WHERE repository = repository.id), \
                 (SELECT count(*) FROM artifact WHERE repository = repository.id AND kind = 0), \
                 (SELECT count(DISTINCT file.object) FROM artifact JOIN directory ON directory.artifact = artifact.id \
                  JOIN file ON file.directory = directory.id WHERE artifact.repository = repository.id), \
                 (SELECT sum(files) FROM artifact WHERE repository = repository.id), \
                 (SELECT count(*) FROM tag WHERE repository = repository.id AND fault IS NOT NULL) \
                 FROM repository ORDER BY name",
            )?;
            let status = |row: &Row<'_>| {
                Ok(RepositoryStatus {
                    name: row.get(0)?,
                    updated: time(row, 1)?,
                    tags: count(row, 2)?,
                    packages: count(row, 3)?,
                    objects: count(row, 4)?,
                    files: row.get::<_, Option<Count>>(5)?.map_or(0, |files| files.0),
                    unreadable: count(row, 6)?,
                })
            };
            statement.query_map([], status)?.collect()
        })
    }

    /// Returns a page of the packages that match, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn packages(&self, filter: &PackageFilter, start: u64, count: u64) -> Result<Page<CatalogPackage>> {
        let (condition, values) = filter.condition();
        self.read("list packages of", |connection| {
            let from = format!("{PACKAGE_TABLES} WHERE {condition}");
            let mut total = connection.prepare_cached(&format!("SELECT count(*) FROM {from}"))?;
            let total = total.query_row(params_from_iter(&values), |row| row.get::<_, Count>(0))?.0;
            let sql = format!(
                "SELECT {PACKAGE_COLUMNS} FROM {from} ORDER BY artifact.created_at DESC, artifact.id DESC \
                 LIMIT {} OFFSET {}",
                stored(count),
                stored(start)
            );
            let mut statement = connection.prepare(&sql)?;
            let items = statement.query_map(params_from_iter(&values), |row| package(connection, row))?;
            Ok(Page { total, items: items.collect::<rusqlite::Result<_>>()? })
        })
    }

    /// Returns the number of packages that match, and of their files and bytes.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn totals(&self, filter: &PackageFilter) -> Result<Totals> {
        let (condition, values) = filter.condition();
        self.read("count packages of", |connection| {
            let sql = format!(
                "SELECT count(*), sum(artifact.files), sum(artifact.bytes) FROM {PACKAGE_TABLES} WHERE {condition}"
            );
            connection.prepare(&sql)?.query_row(params_from_iter(&values), |row| {
                let (files, bytes): (Option<Count>, Option<Count>) = (row.get(1)?, row.get(2)?);
                let sum = |sum: Option<Count>| sum.map_or(0, |sum| sum.0);
                Ok(Totals { packages: count(row, 0)?, files: sum(files), bytes: sum(bytes) })
            })
        })
    }

    /// Returns a package. If several have the identifier, the one that the identifier's tag names comes first, then the
    /// newest.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn package(&self, wanted: &PackageKey<'_>) -> Result<Option<CatalogPackage>> {
        self.read("search", |connection| match wanted {
            PackageKey::Id(id) => one_package(connection, "artifact.id = ?1", &[&id.0]),
            PackageKey::Digest(digest) => {
                let digest = DigestColumn((*digest).clone());
                one_package(connection, "artifact.digest = ?1 ORDER BY artifact.id", &[&digest])
            }
            PackageKey::Tag { repository, tag } => {
                let condition = "artifact.id = (SELECT artifact FROM tag WHERE name = ?2 AND repository = \
                                 (SELECT id FROM repository WHERE name = ?1))";
                one_package(connection, condition, &[repository, tag])
            }
            PackageKey::Identifier(identifier) => by_identifier(connection, identifier),
        })
    }

    /// Returns the versions of a package in its repository, the oldest first, and the package among them.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn versions(&self, of: &CatalogPackage) -> Result<Vec<CatalogPackage>> {
        self.read("search", |connection| {
            let in_repository = "artifact.repository = (SELECT id FROM repository WHERE name = ?2)";
            let mut seen: HashSet<String> = of.summary.identifier.iter().cloned().collect();
            let (mut older, mut newer) = (Vec::new(), Vec::new());
            let mut at = of.summary.obsoletes.clone();
            while let Some(identifier) = at.filter(|identifier| seen.insert(identifier.clone())) {
                let condition =
                    format!("artifact.identifier = ?1 AND {in_repository} ORDER BY artifact.id DESC");
                let found = one_package(connection, &condition, &[&identifier, &of.repository])?;
                at = found.as_ref().and_then(|found| found.summary.obsoletes.clone());
                older.extend(found);
                if older.len() >= MOST_PACKAGES {
                    break;
                }
            }
            let mut at = of.summary.identifier.clone();
            while let Some(identifier) = at {
                let condition =
                    format!("artifact.obsoletes = ?1 AND {in_repository} ORDER BY artifact.id DESC");
                let found = one_package(connection, &condition, &[&identifier, &of.repository])?;
                at = found.as_ref().and_then(|found| found.summary.identifier.clone());
                at = at.filter(|identifier| newer.len() < MOST_PACKAGES && seen.insert(identifier.clone()));
                newer.extend(found.filter(|_| at.is_some()));
            }
            older.reverse();
            older.push(of.clone());
            older.extend(newer);
            Ok(older)
        })
    }

    /// Returns the names of the repositories that hold a manifest.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn holders(&self, manifest: &Digest) -> Result<Vec<String>> {
        self.read("search", |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT repository.name FROM artifact JOIN repository ON repository.id = artifact.repository \
                 WHERE artifact.digest = ?1 ORDER BY repository.name LIMIT 100",
            )?;
            statement.query_map([DigestColumn(manifest.clone())], |row| row.get(0))?.collect()
        })
    }

    /// Returns the packages that hold an object, the newest first.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn packages_of_object(&self, pid: &str) -> Result<Vec<CatalogPackage>> {
        self.read("search", |connection| {
            let sql = format!(
                "SELECT {PACKAGE_COLUMNS} FROM {PACKAGE_TABLES} WHERE artifact.id IN (SELECT directory.artifact \
                 FROM object JOIN file ON file.object = object.id JOIN directory ON directory.id = file.directory \
                 WHERE object.identifier = ?1) ORDER BY artifact.created_at DESC, artifact.id DESC LIMIT {MOST_PACKAGES}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([pid], |row| package(connection, row))?.collect()
        })
    }

    /// Returns a directory of a package; the empty path names the root.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn directory(&self, of: PackageId, path: &str) -> Result<Option<CatalogDirectory>> {
        self.read("search", |connection| one_directory(connection, of, path))
    }

    /// Returns a page of the directories in a directory, by path.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn subdirectories(
        &self,
        of: &CatalogDirectory,
        start: u64,
        count: u64,
    ) -> Result<Page<CatalogDirectory>> {
        self.read("search", |connection| {
            let total = number(connection, "SELECT count(*) FROM directory WHERE parent = ?1", of.id)?;
            let sql = format!("SELECT {DIRECTORY} WHERE parent = ?1 ORDER BY path LIMIT ?2 OFFSET ?3");
            let mut statement = connection.prepare_cached(&sql)?;
            let items = statement.query_map(params![of.id, stored(count), stored(start)], directory)?;
            Ok(Page { total, items: items.collect::<rusqlite::Result<_>>()? })
        })
    }

    /// Returns a page of the files in a directory, by name, without those in directories below it.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn files_in(&self, of: &CatalogDirectory, start: u64, count: u64) -> Result<Page<CatalogFile>> {
        self.read("search", |connection| {
            let total = number(connection, "SELECT count(*) FROM file WHERE directory = ?1", of.id)?;
            // The index of names alone passes over the files of earlier pages.
            let sql = format!(
                "SELECT {FILE_COLUMNS} FROM {FILE_TABLES} WHERE file.id IN (SELECT id FROM file WHERE directory = ?1 \
                 ORDER BY name LIMIT ?2 OFFSET ?3) ORDER BY file.name"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let items = statement.query_map(params![of.id, stored(count), stored(start)], file)?;
            Ok(Page { total, items: items.collect::<rusqlite::Result<_>>()? })
        })
    }

    /// Returns the first files below a directory, at any depth, in the order of the package, that come after `after`.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn files(
        &self,
        below: &CatalogDirectory,
        after: Option<FileId>,
        count: u64,
    ) -> Result<Vec<CatalogFile>> {
        let from = after.map_or(below.rows.0, |after| after.0.saturating_add(1).max(below.rows.0));
        self.read("search", |connection| {
            // Files by other writers may be in any order, so the range of rows can hold files of other directories.
            let sql = format!(
                "SELECT {FILE_COLUMNS} FROM {FILE_TABLES} WHERE file.id BETWEEN ?1 AND ?2 AND (?3 = '' \
                 OR directory.path = ?3 OR substr(directory.path, 1, length(?3) + 1) = ?3 || '/') ORDER BY file.id LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map(params![from, below.rows.1, below.path, stored(count)], file)?.collect()
        })
    }

    /// Returns a file of a package.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn file(&self, of: PackageId, path: &str) -> Result<Option<CatalogFile>> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.read("search", |connection| {
            let sql = format!(
                "SELECT {FILE_COLUMNS} FROM {FILE_TABLES} \
                 WHERE directory.artifact = ?1 AND directory.path = ?2 AND file.name = ?3"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_row(params![of.0, directory, name], file).optional()
        })
    }

    /// Returns the paths of the files before and behind a file in its directory, by name.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn neighbours(&self, of: &CatalogFile) -> Result<(Option<String>, Option<String>)> {
        let (directory, name) = of.path.rsplit_once('/').unwrap_or(("", &of.path));
        self.read("search", |connection| {
            let one = |sign: &str, order: &str| {
                let sql = format!(
                    "SELECT name FROM file WHERE directory = (SELECT directory FROM file WHERE id = ?1) \
                     AND name {sign} ?2 ORDER BY name {order} LIMIT 1"
                );
                let found =
                    connection.prepare_cached(&sql)?.query_row(params![of.id.0, name], |row| row.get(0));
                found.optional()
            };
            let path = |name: String| if directory.is_empty() { name } else { format!("{directory}/{name}") };
            Ok((one("<", "DESC")?.map(path), one(">", "ASC")?.map(path)))
        })
    }

    /// Returns up to 1,000 files with this content.
    ///
    /// # Errors
    ///
    /// As [`Catalog::generation`].
    pub fn locations(&self, algorithm: Algorithm, digest: &[u8]) -> Result<Vec<CatalogFile>> {
        self.read("search", |connection| {
            let condition = match algorithm {
                Algorithm::Sha256 => "file.sha256 = ?1",
                _ => "file.id IN (SELECT file FROM checksum WHERE value = ?1)",
            };
            let sql = format!(
                "SELECT {FILE_COLUMNS} FROM {FILE_TABLES} WHERE {condition} ORDER BY file.id LIMIT {MOST_LOCATIONS}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found: Vec<_> =
                statement.query_map([digest], file)?.collect::<rusqlite::Result<_>>()?;
            // Digests of different algorithms can have the same length.
            found.retain(|file| file.digests.get(algorithm) == Some(digest));
            Ok(found)
        })
    }

    /// Remembers the CRC-32 of a content whose SHA-256 was verified.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be written.
    pub fn note_crc32(&self, sha256: &[u8; 32], crc32: u32) -> Result<()> {
        self.write("write", |connection| {
            let sql = "INSERT INTO crc (sha256, crc32) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            connection.prepare_cached(sql)?.execute(params![sha256, crc32]).map(drop)
        })
    }

    /// Returns the ranges of blobs that hold a file, or a range of its bytes: one for each member of an archive, and one for
    /// each layer otherwise.
    ///
    /// # Errors
    ///
    /// [`Error::NeedsPackage`] if the catalogue does not know them, or the range is outside the file.
    pub fn pieces(&self, of: &CatalogFile, range: Option<Range<u64>>) -> Result<Vec<BlobPiece>> {
        let range = range.unwrap_or(0..of.size);
        let layers = self.read("search", |connection| layers(connection, of))?;
        let is_inside = range.start <= range.end && range.end <= of.size;
        let pieces = is_inside.then(|| pieces(of.place, &layers, &range)).flatten();
        pieces.ok_or_else(|| Error::NeedsPackage { path: of.path.clone() })
    }

    /// Returns the ranges of blobs that hold each of these files, as [`Catalog::pieces`] does; `None` where only the package
    /// knows them. It is quick if files that follow each other are in the same layer.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read.
    pub fn pieces_of_all(&self, files: &[CatalogFile]) -> Result<Vec<Option<Vec<BlobPiece>>>> {
        self.read("search", |connection| {
            let mut known = None;
            let mut all = Vec::with_capacity(files.len());
            for file in files {
                let place = (file.package, first_and_count(file.place));
                let (_, layers) = match known.take().filter(|(of, _)| *of == place) {
                    Some(known) => known,
                    None => (place, layers(connection, file)?),
                };
                all.push(pieces(file.place, &layers, &(0..file.size)));
                known = Some((place, layers));
            }
            Ok(all)
        })
    }
}

fn first_and_count(place: Place) -> (u32, u32) {
    match place {
        Place::Archive { layer, .. } | Place::Object { layer } => (layer, 1),
        Place::Parts { first, count } => (first, count),
    }
}

/// Returns the layers that hold a file.
fn layers(connection: &Connection, of: &CatalogFile) -> rusqlite::Result<Vec<Layer>> {
    let (first, count) = first_and_count(of.place);
    let mut statement = connection.prepare_cached(
        "SELECT digest, size, value, members FROM layer JOIN term ON term.id = media_type \
         WHERE artifact = ?1 AND position >= ?2 ORDER BY position LIMIT ?3",
    )?;
    let layer = |row: &Row<'_>| {
        Ok(Layer {
            digest: row.get::<_, DigestColumn>(0)?.0,
            size: crate::rows::count(row, 1)?,
            media_type: MediaType::received(row.get::<_, String>(2)?),
            members: row.get::<_, Option<Vec<u8>>>(3)?.as_deref().and_then(members::decode),
        })
    };
    statement.query_map(params![of.package.0, first, count], layer)?.collect()
}

struct Layer {
    digest: Digest,
    size: u64,
    media_type: MediaType,
    members: Option<Vec<Member>>,
}

fn pieces(place: Place, layers: &[Layer], range: &Range<u64>) -> Option<Vec<BlobPiece>> {
    let raw = |layer: &Layer, range: Range<u64>| BlobPiece {
        blob: layer.digest.clone(),
        blob_size: layer.size,
        decoded: range.end - range.start,
        range,
        encoding: PieceEncoding::Raw,
    };
    if range.is_empty() {
        return Some(Vec::new());
    }
    if let Place::Archive { offset, .. } = place {
        let layer = layers.first()?;
        let compression = archive_compression(&layer.media_type)?;
        let wanted = offset.checked_add(range.start)?..offset.checked_add(range.end)?;
        let parts = parts_of_members(layer.members.as_ref()?, wanted)?;
        let piece = |(decoded, part): (u64, MemberRange)| {
            let range = part.compressed.clone();
            let encoding = PieceEncoding::Members { compression, part };
            BlobPiece { blob: layer.digest.clone(), blob_size: layer.size, range, encoding, decoded }
        };
        return Some(parts.into_iter().map(piece).collect());
    }
    let (mut pieces, mut start) = (Vec::new(), 0_u64);
    for layer in layers {
        let end = start.saturating_add(layer.size);
        let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
        if from < to {
            pieces.push(raw(layer, from - start..to - start));
        }
        start = end;
    }
    (range.end <= start).then_some(pieces)
}

/// Returns the members that hold a range of a tar archive: the length of each, and its part of the range.
fn parts_of_members(members: &[Member], wanted: Range<u64>) -> Option<Vec<(u64, MemberRange)>> {
    let mut parts = Vec::new();
    let mut start = wanted.start;
    while start < wanted.end {
        let at = members.partition_point(|member| member.tar_offset <= start).checked_sub(1)?;
        let member = members.get(at)?;
        let end = member.tar_offset.checked_add(member.tar_length)?.min(wanted.end);
        if end <= start {
            return None;
        }
        parts.push((member.tar_length, members_covering(members, start..end).ok()?));
        start = end;
    }
    Some(parts)
}

impl PackageFilter {
    pub(crate) fn condition(&self) -> (String, Vec<Value>) {
        let kinds = match self.kinds.as_slice() {
            [] => "0, 1".to_owned(),
            kinds => kinds.iter().map(|kind| kind_number(*kind).to_string()).collect::<Vec<_>>().join(", "),
        };
        let mut condition = format!("artifact.kind IN ({kinds})");
        let mut values = Vec::new();
        if let Some(repository) = &self.repository {
            condition += " AND artifact.repository = (SELECT id FROM repository WHERE name = ?1)";
            values.push(repository.clone().into());
        }
        if self.current_only {
            condition += " AND ";
            condition += IS_CURRENT;
        }
        if self.public_only {
            condition += " AND artifact.hidden = 0";
        }
        (condition, values)
    }
}

/// The condition that no other artifact of the repository replaces the artifact.
pub(crate) const IS_CURRENT: &str = "NOT EXISTS (SELECT 1 FROM artifact AS newer \
     WHERE newer.obsoletes = artifact.identifier AND newer.repository = artifact.repository AND newer.id <> artifact.id)";

/// The columns and the table of [`directory`].
const DIRECTORY: &str = "id, first, last, artifact, path, files, bytes FROM directory";

fn directory(row: &Row<'_>) -> rusqlite::Result<CatalogDirectory> {
    Ok(CatalogDirectory {
        id: row.get(0)?,
        rows: (row.get(1)?, row.get(2)?),
        package: PackageId(row.get(3)?),
        path: row.get(4)?,
        files: count(row, 5)?,
        bytes: count(row, 6)?,
    })
}

fn one_directory(
    connection: &Connection,
    of: PackageId,
    path: &str,
) -> rusqlite::Result<Option<CatalogDirectory>> {
    let sql = format!("SELECT {DIRECTORY} WHERE artifact = ?1 AND path = ?2");
    connection.prepare_cached(&sql)?.query_row(params![of.0, path], directory).optional()
}

fn number(connection: &Connection, sql: &str, of: i64) -> rusqlite::Result<u64> {
    connection.prepare_cached(sql)?.query_row([of], |row| count(row, 0))
}

fn one_package(
    connection: &Connection,
    condition: &str,
    values: &[&dyn ToSql],
) -> rusqlite::Result<Option<CatalogPackage>> {
    let sql = format!("SELECT {PACKAGE_COLUMNS} FROM {PACKAGE_TABLES} WHERE {condition} LIMIT 1");
    connection.prepare_cached(&sql)?.query_row(values, |row| package(connection, row)).optional()
}

fn by_identifier(connection: &Connection, identifier: &str) -> rusqlite::Result<Option<CatalogPackage>> {
    let tag = identifier.parse::<Identifier>().map(|identifier| identifier.tag()).unwrap_or_default();
    let order = "ORDER BY EXISTS (SELECT 1 FROM tag WHERE artifact = artifact.id AND name = ?2) DESC, \
                 artifact.kind, artifact.created_at DESC, artifact.id DESC";
    for column in ["identifier", "resource_map"] {
        let condition = format!("artifact.{column} = ?1 {order}");
        let found = one_package(connection, &condition, &[&identifier, &tag])?;
        if found.is_some() {
            return Ok(found);
        }
    }
    let condition = format!(
        "artifact.series = ?1 AND ?2 IS NOT NULL ORDER BY NOT ({IS_CURRENT}), artifact.created_at DESC"
    );
    one_package(connection, &condition, &[&identifier, &tag])
}

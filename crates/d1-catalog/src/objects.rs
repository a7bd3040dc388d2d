//! Objects of a catalogue: by identifier, in pages, and their relations.

use d1_model::{Identifier, SchemaVersion};
use jiff::Timestamp;
use oci_model::Digest;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use crate::error::Result;
use crate::rows::{
    CatalogFile, CatalogObject, Count, DigestColumn, DocumentPlace, FILE_COLUMNS, FILE_TABLES, ObjectId,
    Page, SystemMetadataFacts, count, file, stored, time,
};
use crate::store::Catalog;

/// A filter of objects. An object matches if it satisfies every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectFilter {
    /// Only objects whose system metadata changed at this time or later.
    pub from: Option<Timestamp>,
    /// Only objects whose system metadata changed before this time.
    pub to: Option<Timestamp>,
    /// Only objects of this format.
    pub format_id: Option<String>,
    /// Only the object with this identifier, or the objects of this series.
    pub identifier: Option<String>,
    /// Only objects that came from this node, or that it speaks for or has a replica of.
    pub node: Option<String>,
    /// Only objects that everybody may read.
    pub public_only: bool,
}

/// The statements of resource maps about an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Relations {
    /// The objects that it documents.
    pub documents: Vec<String>,
    /// The objects that document it.
    pub documented_by: Vec<String>,
    /// Identifiers of the resource maps of the packages that hold it.
    pub resource_maps: Vec<String>,
}

/// How many copies or related objects one call returns.
const MOST_RELATED: u64 = 100_000;

impl Catalog {
    /// Returns the object with this identifier, else the newest object of the series with this name.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read. This holds for all methods that read.
    pub fn object(&self, identifier: &str) -> Result<Option<CatalogObject>> {
        self.read("search", |connection| match by_pid(connection, identifier)? {
            Some(object) => Ok(Some(object)),
            None => match head_of_series(connection, identifier)? {
                Some(pid) => by_pid(connection, &pid),
                None => Ok(None),
            },
        })
    }

    /// Returns the object with this identifier.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn object_by_pid(&self, pid: &str) -> Result<Option<CatalogObject>> {
        self.read("search", |connection| by_pid(connection, pid))
    }

    /// Returns all files with this identifier.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn copies(&self, pid: &str) -> Result<Vec<CatalogFile>> {
        self.read("search", |connection| {
            let sql = format!(
                "SELECT {FILE_COLUMNS} FROM {FILE_TABLES} \
                 WHERE file.object = (SELECT id FROM object WHERE identifier = ?1) ORDER BY file.id LIMIT {MOST_RELATED}"
            );
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([pid], file)?.collect()
        })
    }

    /// Returns a page of the objects that match, ordered by the date of their system metadata and their identifier.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn objects(&self, filter: &ObjectFilter, start: u64, count: u64) -> Result<Page<CatalogObject>> {
        let (condition, values) = filter.condition();
        self.read("list objects of", |connection| {
            let from = format!("object WHERE {condition}");
            let mut total = connection.prepare_cached(&format!("SELECT count(*) FROM {from}"))?;
            let total = total.query_row(params_from_iter(&values), |row| row.get::<_, Count>(0))?.0;
            let (limit, offset) = (stored(count), stored(start));
            let sql = format!(
                "SELECT object.identifier FROM {from} ORDER BY object.modified, object.identifier \
                 LIMIT {limit} OFFSET {offset}"
            );
            let mut pids = connection.prepare(&sql)?;
            let pids = pids.query_map(params_from_iter(&values), |row| row.get::<_, String>(0))?;
            let mut items = Vec::new();
            for pid in pids {
                items.extend(by_pid(connection, &pid?)?);
            }
            Ok(Page { total, items })
        })
    }

    /// Returns all objects that match, in the order of [`Catalog::objects`]. It takes four bytes for each.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn object_ids(&self, filter: &ObjectFilter) -> Result<Vec<ObjectId>> {
        let (condition, values) = filter.condition();
        self.read("list objects of", |connection| {
            let sql = format!(
                "SELECT object.id FROM object WHERE {condition} ORDER BY object.modified, object.identifier"
            );
            let mut ids = connection.prepare(&sql)?;
            ids.query_map(params_from_iter(&values), |row| row.get(0))?.collect()
        })
    }

    /// Returns these objects, in this order; `None` for those that are gone.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn objects_by_id(&self, ids: &[ObjectId]) -> Result<Vec<Option<CatalogObject>>> {
        self.read("list objects of", |connection| {
            let mut identifier = connection.prepare_cached("SELECT identifier FROM object WHERE id = ?1")?;
            let object = |id: &ObjectId| {
                let pid = identifier.query_row([id], |row| row.get::<_, String>(0)).optional()?;
                pid.map_or(Ok(None), |pid| by_pid(connection, &pid))
            };
            ids.iter().map(object).collect()
        })
    }

    /// Returns the statements of resource maps about an object.
    ///
    /// # Errors
    ///
    /// As [`Catalog::object`].
    pub fn relations(&self, pid: &str) -> Result<Relations> {
        self.read("search", |connection| {
            let list = |sql: &str| -> rusqlite::Result<Vec<String>> {
                let mut statement = connection.prepare_cached(&format!("{sql} LIMIT {MOST_RELATED}"))?;
                statement.query_map([pid], |row| row.get(0))?.collect()
            };
            Ok(Relations {
                documents: list(
                    "SELECT DISTINCT other.identifier FROM object \
                     JOIN documents ON documents.metadata = object.id JOIN object AS other ON other.id = documents.data \
                     WHERE object.identifier = ?1 ORDER BY 1",
                )?,
                documented_by: list(
                    "SELECT DISTINCT other.identifier FROM object \
                     JOIN documents ON documents.data = object.id JOIN object AS other ON other.id = documents.metadata \
                     WHERE object.identifier = ?1 ORDER BY 1",
                )?,
                resource_maps: list(
                    "SELECT DISTINCT artifact.resource_map FROM object JOIN file ON file.object = object.id \
                     JOIN directory ON directory.id = file.directory JOIN artifact ON artifact.id = directory.artifact \
                     WHERE object.identifier = ?1 AND artifact.resource_map IS NOT NULL ORDER BY 1",
                )?,
            })
        })
    }
}

impl ObjectFilter {
    /// Returns the condition on the table `object`, and the values of its parameters.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut condition = "object.file IS NOT NULL".to_owned();
        let mut values = Vec::new();
        let mut and = |text: &str, value: Value| {
            values.push(value);
            condition += &format!(" AND {}", text.replace('?', &format!("?{}", values.len())));
        };
        if self.public_only {
            and("object.public = ?", 1.into());
        }
        if let Some(from) = self.from {
            and("object.modified >= ?", milliseconds_up(from).into());
        }
        if let Some(to) = self.to {
            and("object.modified < ?", milliseconds_up(to).into());
        }
        if let Some(format_id) = &self.format_id {
            and("object.format = (SELECT id FROM term WHERE value = ?)", format_id.clone().into());
        }
        if let Some(identifier) = &self.identifier {
            and("(object.identifier = ? OR object.series = ?)", identifier.clone().into());
        }
        if let Some(node) = &self.node {
            and(
                "EXISTS (SELECT 1 FROM system_metadata AS facts LEFT JOIN term AS origin ON origin.id = facts.origin \
                 LEFT JOIN term AS speaker ON speaker.id = facts.authoritative \
                 LEFT JOIN term AS replicas ON replicas.id = facts.replicas \
                 WHERE facts.file = object.file AND (origin.value = ? OR speaker.value = ? \
                 OR instr(' ' || replicas.value || ' ', ' ' || ? || ' ') > 0))",
                node.clone().into(),
            );
        }
        (condition, values)
    }
}

/// Returns the first stored time that is not before `time`.
fn milliseconds_up(time: Timestamp) -> i64 {
    let milliseconds = time.as_millisecond();
    match Timestamp::from_millisecond(milliseconds) {
        Ok(cut) if cut < time => milliseconds.saturating_add(1),
        _ => milliseconds,
    }
}

fn by_pid(connection: &Connection, pid: &str) -> rusqlite::Result<Option<CatalogObject>> {
    let sql = format!(
        "SELECT {FILE_COLUMNS}, object.conflict FROM object AS wanted JOIN {FILE_TABLES} \
         WHERE wanted.identifier = ?1 AND file.id = wanted.file"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_row([pid], |row| Ok((file(row)?, row.get(16)?))).optional()?;
    let Some((file, conflict)) = found else { return Ok(None) };
    let (mut system_metadata, mut place) = (None, None);
    if let Some((facts, at)) = facts_of(connection, &file)? {
        (system_metadata, place) = (Some(facts), at);
    }
    let stated = system_metadata.as_ref().and_then(|facts| facts.obsoleted_by.clone());
    let obsoleted_by = match stated {
        Some(stated) => Some(stated),
        None => newer(connection, pid)?,
    };
    Ok(Some(CatalogObject {
        pid: pid.to_owned(),
        file,
        system_metadata,
        system_metadata_place: place,
        obsoleted_by,
        conflict,
    }))
}

/// Returns the identifier of the object whose system metadata say that it replaces this one.
fn newer(connection: &Connection, pid: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT object.identifier FROM system_metadata AS facts JOIN file ON file.id = facts.file \
         JOIN object ON object.id = file.object WHERE facts.obsoletes = ?1 AND object.identifier <> ?1 \
         ORDER BY facts.uploaded DESC, object.identifier LIMIT 1",
    )?;
    statement.query_row([pid], |row| row.get(0)).optional()
}

/// Returns the facts about a copy of an object, and the place of their document.
fn facts_of(
    connection: &Connection,
    of: &CatalogFile,
) -> rusqlite::Result<Option<(SystemMetadataFacts, Option<DocumentPlace>)>> {
    let mut statement = connection.prepare_cached(
        "SELECT facts.version, facts.serial, format.value, facts.size, algorithm.value, facts.checksum, \
         submitter.value, holder.value, facts.public, facts.archived, facts.series, facts.obsoletes, \
         facts.obsoleted_by, facts.uploaded, facts.modified, origin.value, speaker.value, replicas.value, \
         media.value, facts.file_name, facts.document, facts.referrer, facts.blob, facts.blob_size \
         FROM system_metadata AS facts JOIN term AS algorithm ON algorithm.id = facts.algorithm \
         LEFT JOIN term AS format ON format.id = facts.format \
         LEFT JOIN term AS submitter ON submitter.id = facts.submitter \
         LEFT JOIN term AS holder ON holder.id = facts.rights_holder \
         LEFT JOIN term AS origin ON origin.id = facts.origin \
         LEFT JOIN term AS speaker ON speaker.id = facts.authoritative \
         LEFT JOIN term AS replicas ON replicas.id = facts.replicas \
         LEFT JOIN term AS media ON media.id = facts.media_type WHERE facts.file = ?1",
    )?;
    let read = |row: &Row<'_>| Ok((facts(row)?, row.get::<_, Option<i64>>(20)?, referrer(row, of)?));
    let Some((facts, document, referrer)) = statement.query_row([of.id.0], read).optional()? else {
        return Ok(None);
    };
    let Some(document) = document else { return Ok(Some((facts, referrer))) };
    let sql = format!("SELECT {FILE_COLUMNS} FROM {FILE_TABLES} WHERE file.id = ?1");
    let document = connection.prepare_cached(&sql)?.query_row([document], file).optional()?;
    Ok(Some((facts, document.map(|file| DocumentPlace::File(Box::new(file))))))
}

fn facts(row: &Row<'_>) -> rusqlite::Result<SystemMetadataFacts> {
    let text = |column| row.get::<_, Option<String>>(column);
    Ok(SystemMetadataFacts {
        schema_version: if row.get::<_, i64>(0)? == 1 { SchemaVersion::V1 } else { SchemaVersion::V2 },
        serial_version: row.get::<_, Option<Count>>(1)?.map(|number| number.0),
        format_id: text(2)?.unwrap_or_default(),
        size: count(row, 3)?,
        checksum_algorithm: row.get(4)?,
        checksum: row.get(5)?,
        submitter: text(6)?,
        rights_holder: text(7)?.unwrap_or_default(),
        is_public: row.get(8)?,
        archived: row.get(9)?,
        series_id: text(10)?,
        obsoletes: text(11)?,
        obsoleted_by: text(12)?,
        date_uploaded: time(row, 13)?,
        date_modified: time(row, 14)?,
        origin_node: text(15)?,
        authoritative_node: text(16)?,
        replica_nodes: text(17)?.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        media_type: text(18)?,
        file_name: text(19)?,
    })
}

fn referrer(row: &Row<'_>, of: &CatalogFile) -> rusqlite::Result<Option<DocumentPlace>> {
    let digest = |column| -> rusqlite::Result<Option<Digest>> {
        Ok(row.get::<_, Option<DigestColumn>>(column)?.map(|column| column.0))
    };
    let (Some(manifest), Some(blob)) = (digest(21)?, digest(22)?) else { return Ok(None) };
    let repository = of.repository.clone();
    Ok(Some(DocumentPlace::Referrer { repository, manifest, blob, size: count(row, 23)? }))
}

/// Returns the identifier of the newest object of a series: the one that no other object of the series replaces, or if
/// that is not clear the one that was uploaded last (DataONE architecture, “Mutability of Content”).
fn head_of_series(connection: &Connection, series: &str) -> rusqlite::Result<Option<String>> {
    if series.parse::<Identifier>().is_err() {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(
        "SELECT object.identifier FROM object LEFT JOIN system_metadata AS facts ON facts.file = object.file \
         WHERE object.series = ?1 AND object.file IS NOT NULL ORDER BY \
         EXISTS (SELECT 1 FROM object AS other JOIN system_metadata AS newer ON newer.file = other.file \
                 WHERE other.series = ?1 AND newer.obsoletes = object.identifier AND other.id <> object.id), \
         facts.obsoleted_by IS NOT NULL AND EXISTS (SELECT 1 FROM object AS other \
                 WHERE other.identifier = facts.obsoleted_by AND other.series = ?1), \
         facts.uploaded DESC, object.identifier LIMIT 1",
    )?;
    statement.query_row([series], |row| row.get(0)).optional()
}

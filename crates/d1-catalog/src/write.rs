//! Writing artifacts into a catalogue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bagit::{Algorithm, Digests};
use d1_metadata::{Party, Period, ScienceMetadata};
use d1_model::{Identifier, SchemaVersion, SystemMetadata};
use d1_package::{Entry, PackageView, Place, media_type_of};
use d1_transfer::parts::AttachedDocument;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::artifact::ArtifactKind;
use crate::error::Result;
use crate::find::parse_time;
use crate::records;
use crate::rows::{DigestColumn, TagColumn, count, kind_number, stored};
use crate::store::Catalog;
use crate::update::{Collected, CollectedArtifact, Listed, Plan, UpdateReport};

impl Catalog {
    /// Removes a repository. Returns `false` if the catalogue does not have it.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be written.
    pub fn drop_repository(&self, name: &str) -> Result<bool> {
        self.write("write", |connection| {
            let removed = remove_repository(connection, name)?;
            if removed {
                changed(connection)?;
            }
            Ok(removed)
        })
    }

    /// Compares the tags of a repository with the catalogue.
    pub(crate) fn plan(&self, name: &str, listed: &[Listed], referrers: bool) -> Result<Plan> {
        self.write("update", |connection| {
            connection.execute("INSERT INTO repository (name) VALUES (?1) ON CONFLICT DO NOTHING", [name])?;
            let repository: i64 =
                connection.query_row("SELECT id FROM repository WHERE name = ?1", [name], |row| row.get(0))?;
            fill_listed(connection, listed)?;
            let mut missing = connection.prepare(
                "SELECT name, digest, min(position) AS first FROM temp.listed WHERE NOT EXISTS \
                 (SELECT 1 FROM artifact WHERE repository = ?1 AND artifact.digest = listed.digest) \
                 GROUP BY ifnull(digest, name) ORDER BY first",
            )?;
            let missing = missing.query_map([repository], |row| {
                let digest = row.get::<_, Option<DigestColumn>>(1)?.map(|column| column.0);
                Ok(Listed { tag: row.get::<_, TagColumn>(0)?.0, digest })
            })?;
            let missing = missing.collect::<rusqlite::Result<Vec<_>>>()?;
            let differs: bool = connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM temp.listed LEFT JOIN tag ON tag.repository = ?1 AND tag.name = listed.name \
                 WHERE tag.name IS NULL OR tag.digest IS NOT listed.digest OR tag.position <> listed.position) \
                 OR (SELECT count(*) FROM tag WHERE repository = ?1) <> (SELECT count(*) FROM temp.listed) \
                 OR (SELECT updated IS NULL FROM repository WHERE id = ?1)",
                [repository],
                |row| row.get(0),
            )?;
            let mut objects = Vec::new();
            if referrers {
                let sql = "SELECT id, digest FROM artifact WHERE repository = ?1 AND kind = ?2 ORDER BY id";
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map(params![repository, kind_number(ArtifactKind::Object)], |row| {
                    Ok((row.get(0)?, row.get::<_, DigestColumn>(1)?.0))
                })?;
                objects = rows.collect::<rusqlite::Result<_>>()?;
            }
            let is_current = missing.is_empty() && !differs;
            Ok(Plan { repository, missing, objects, is_current })
        })
    }

    /// Adds artifacts and returns how many are new.
    pub(crate) fn add(&self, repository: i64, batch: &[Collected]) -> Result<u64> {
        self.write("update", |connection| {
            let mut adding =
                Adding { connection, repository, terms: HashMap::new(), objects: BTreeSet::new() };
            let mut added = 0;
            for collected in batch {
                match collected {
                    Collected::Artifact(artifact) => added += u64::from(adding.artifact(artifact)?),
                    Collected::Unreadable { tag, fault } => adding.unreadable(tag.as_str(), fault)?,
                    Collected::SystemMetadata { artifact, attached } => {
                        adding.replace_attached(*artifact, attached.as_ref().as_ref())?;
                    }
                    Collected::Moved => {}
                }
            }
            for object in std::mem::take(&mut adding.objects) {
                choose_copy(connection, object)?;
            }
            if added > 0 {
                changed(connection)?;
            }
            Ok(added)
        })
    }

    /// Takes over the list of tags, and removes artifacts without one.
    pub(crate) fn finish(&self, repository: i64, is_current: bool) -> Result<UpdateReport> {
        self.write("update", |connection| {
            let mut report = UpdateReport::default();
            if !is_current {
                take_over_tags(connection, repository)?;
                let gone = "SELECT id FROM artifact WHERE repository = ?1 \
                            AND NOT EXISTS (SELECT 1 FROM tag WHERE tag.artifact = artifact.id)";
                report.removed = remove_artifacts(connection, gone, repository)?;
                changed(connection)?;
            }
            let now = Timestamp::now().as_millisecond();
            connection
                .execute("UPDATE repository SET updated = ?2 WHERE id = ?1", params![repository, now])?;
            let number = |sql: &str| connection.query_row(sql, [repository], |row| count(row, 0));
            report.unchanged = number("SELECT count(*) FROM artifact WHERE repository = ?1")?;
            report.unreadable =
                number("SELECT count(*) FROM tag WHERE repository = ?1 AND fault IS NOT NULL")?;
            Ok(report)
        })
    }
}

fn changed(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE state SET generation = generation + 1", []).map(drop)
}

/// Fills the table of the tags that the repository has now.
fn fill_listed(connection: &Connection, listed: &[Listed]) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS listed (name TEXT PRIMARY KEY, position INTEGER NOT NULL, digest) WITHOUT ROWID; \
         CREATE INDEX IF NOT EXISTS temp.listed_digest ON listed (digest); DELETE FROM temp.listed;",
    )?;
    let mut insert = connection.prepare(
        "INSERT INTO temp.listed (name, position, digest) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
    )?;
    for (position, listed) in (0_i64..).zip(listed) {
        let digest = listed.digest.clone().map(DigestColumn);
        insert.execute(params![listed.tag.as_str(), position, digest])?;
    }
    Ok(())
}

fn take_over_tags(connection: &Connection, repository: i64) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO tag (repository, name, position, digest, artifact) \
         SELECT ?1, listed.name, listed.position, listed.digest, artifact.id FROM temp.listed \
         JOIN artifact ON artifact.repository = ?1 AND artifact.digest = listed.digest \
         WHERE NOT EXISTS (SELECT 1 FROM tag WHERE tag.repository = ?1 AND tag.name = listed.name \
             AND tag.position = listed.position AND tag.artifact = artifact.id AND tag.fault IS NULL) \
         ON CONFLICT (repository, name) DO UPDATE SET position = excluded.position, digest = excluded.digest, \
             artifact = excluded.artifact, fault = NULL",
        [repository],
    )?;
    connection.execute(
        "DELETE FROM tag WHERE repository = ?1 AND name NOT IN (SELECT name FROM temp.listed)",
        [repository],
    )?;
    connection.execute(
        "UPDATE tag SET position = listed.position FROM temp.listed \
         WHERE tag.repository = ?1 AND tag.name = listed.name AND tag.position <> listed.position",
        [repository],
    )?;
    connection.execute(
        "UPDATE artifact SET tag = first.name, position = first.position FROM \
         (SELECT artifact, name, min(position) AS position FROM tag \
          WHERE repository = ?1 AND artifact IS NOT NULL GROUP BY artifact) AS first \
         WHERE first.artifact = artifact.id AND (artifact.tag <> first.name OR artifact.position <> first.position)",
        [repository],
    )?;
    Ok(())
}

/// Removes a repository. Returns `false` if there is none with this name.
pub(crate) fn remove_repository(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let repository = "SELECT id FROM repository WHERE name = ?1";
    let id: Option<i64> = connection.query_row(repository, [name], |row| row.get(0)).optional()?;
    let Some(id) = id else { return Ok(false) };
    remove_artifacts(connection, "SELECT id FROM artifact WHERE repository = ?1", id)?;
    connection.execute("DELETE FROM repository WHERE id = ?1", [id])?;
    Ok(true)
}

/// Removes the artifacts that a query with one parameter selects. Returns how many there were.
fn remove_artifacts(connection: &Connection, select: &str, parameter: i64) -> rusqlite::Result<u64> {
    let mut gone = connection.prepare(select)?;
    let gone = gone.query_map([parameter], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    let mut touched = BTreeSet::new();
    for &artifact in &gone {
        let mut objects = connection.prepare_cached(
            "SELECT DISTINCT object FROM directory JOIN file ON file.directory = directory.id \
             WHERE artifact = ?1 AND object IS NOT NULL",
        )?;
        for object in objects.query_map([artifact], |row| row.get::<_, i64>(0))? {
            touched.insert(object?);
        }
        records::remove(connection, artifact)?;
        connection.prepare_cached("DELETE FROM artifact WHERE id = ?1")?.execute([artifact])?;
    }
    for object in touched {
        choose_copy(connection, object)?;
    }
    if !gone.is_empty() {
        connection.execute(
            "DELETE FROM object WHERE file IS NULL \
             AND NOT EXISTS (SELECT 1 FROM documents WHERE metadata = object.id OR data = object.id)",
            [],
        )?;
    }
    Ok(gone.len() as u64)
}

/// Adds artifacts in one transaction.
struct Adding<'a> {
    connection: &'a Connection,
    repository: i64,
    terms: HashMap<String, i64>,
    /// Objects that got another copy.
    objects: BTreeSet<i64>,
}

/// A directory while its files are added.
#[derive(Debug)]
struct Growing {
    id: i64,
    files: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

impl Adding<'_> {
    fn execute(&self, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<i64> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Returns the row of a text that many rows repeat.
    fn term(&mut self, text: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.terms.get(text) {
            return Ok(*id);
        }
        self.execute("INSERT INTO term (value) VALUES (?1) ON CONFLICT DO NOTHING", [text])?;
        let mut select = self.connection.prepare_cached("SELECT id FROM term WHERE value = ?1")?;
        let id = select.query_row([text], |row| row.get(0))?;
        self.terms.insert(text.to_owned(), id);
        Ok(id)
    }

    fn optional_term(&mut self, text: Option<&str>) -> rusqlite::Result<Option<i64>> {
        text.map(|text| self.term(text)).transpose()
    }

    /// Returns the row of an identifier.
    fn object(&self, identifier: &str) -> rusqlite::Result<i64> {
        self.execute("INSERT INTO object (identifier) VALUES (?1) ON CONFLICT DO NOTHING", [identifier])?;
        let mut select = self.connection.prepare_cached("SELECT id FROM object WHERE identifier = ?1")?;
        select.query_row([identifier], |row| row.get(0))
    }

    /// Adds an artifact and its tags. Returns `false` if another process added it first.
    fn artifact(&mut self, artifact: &CollectedArtifact) -> rusqlite::Result<bool> {
        let digest = DigestColumn(artifact.summary.digest.clone());
        let known = "SELECT id FROM artifact WHERE repository = ?1 AND digest = ?2";
        let mut known = self.connection.prepare_cached(known)?;
        let known = known.query_row(params![self.repository, digest], |row| row.get(0)).optional()?;
        let id = match known {
            Some(id) => id,
            None => self.new_artifact(artifact)?,
        };
        self.execute(
            "INSERT INTO tag (repository, name, position, digest, artifact) \
             SELECT ?1, name, position, digest, ?2 FROM temp.listed WHERE digest = ?3 \
             ON CONFLICT (repository, name) DO UPDATE SET position = excluded.position, digest = excluded.digest, \
             artifact = excluded.artifact, fault = NULL",
            params![self.repository, id, digest],
        )?;
        Ok(known.is_none())
    }

    fn new_artifact(&mut self, artifact: &CollectedArtifact) -> rusqlite::Result<i64> {
        let summary = &artifact.summary;
        let artifact_type = self.optional_term(summary.artifact_type.as_ref().map(|kind| kind.as_str()))?;
        let format = self.optional_term(summary.format_id.as_deref())?;
        let created_at = summary.created.as_deref().and_then(parse_time).map(Timestamp::as_millisecond);
        let view = artifact.view.as_ref();
        let unlisted = view.is_some_and(|view| view.index().is_none() && !view.archives().is_empty());
        let id = self.execute(
            "INSERT INTO artifact (repository, digest, tag, position, kind, artifact_type, identifier, resource_map, series, \
             obsoletes, obsoleted_by, title, described, format, created, created_at, stored_bytes, archived, license, \
             directory, files, bytes, documented, hidden, unlisted, fault, not_public, content_digest) VALUES \
             (?1, ?2, ?3, ifnull((SELECT position FROM temp.listed WHERE name = ?3), 0), ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
              ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, 0, 0, 0, 0, ?20, ?21, ?22, ?23)",
            params![
                self.repository,
                DigestColumn(summary.digest.clone()),
                summary.tag.as_str(),
                kind_number(summary.kind.unwrap_or(ArtifactKind::Artifact)),
                artifact_type,
                summary.identifier,
                summary.resource_map,
                summary.series_id,
                summary.obsoletes,
                artifact.obsoleted_by,
                summary.title,
                artifact.described,
                format,
                summary.created,
                created_at,
                stored(summary.stored_bytes.unwrap_or_default()),
                artifact.archived,
                artifact.license,
                view.map(PackageView::directory).unwrap_or_default(),
                unlisted,
                artifact.fault,
                stored(summary.state.not_public),
                summary.state.content_digest,
            ],
        )?;
        self.layers(id, artifact)?;
        if let Some(view) = view {
            self.content(id, view, artifact)?;
        }
        let is_content = matches!(summary.kind, Some(ArtifactKind::Package | ArtifactKind::Object));
        if is_content && artifact.documents.science.is_empty() {
            self.record(id, None, artifact, &facts_of_manifest(artifact))?;
        }
        Ok(id)
    }

    fn layers(&mut self, id: i64, artifact: &CollectedArtifact) -> rusqlite::Result<()> {
        for (position, layer) in (0_i64..).zip(&artifact.layers) {
            let media_type = self.term(layer.descriptor.media_type.as_str())?;
            let format = self.optional_term(layer.format_id.as_deref())?;
            let digest = DigestColumn(layer.descriptor.digest.clone());
            self.execute(
                "INSERT INTO layer (artifact, position, digest, size, media_type, format, members) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![
                    id,
                    position,
                    digest,
                    stored(layer.descriptor.size),
                    media_type,
                    format,
                    layer.members
                ],
            )?;
        }
        Ok(())
    }

    /// Adds the files of an artifact, and the facts of its documents.
    fn content(&mut self, id: i64, view: &PackageView, artifact: &CollectedArtifact) -> rusqlite::Result<()> {
        let first = self.files(id, view)?;
        let documents = &artifact.documents;
        let described: HashMap<&str, &SystemMetadata> =
            documents.system_metadata.iter().map(|(path, document)| (path.as_str(), document)).collect();
        let (mut documented, mut hidden) = (0_i64, 0_i64);
        for (file, entry) in (first..).zip(view.entries()) {
            let Some(object) = entry.object else { continue };
            let attached = documents.attached.as_ref();
            let path = object.system_metadata.as_deref();
            let facts =
                path.and_then(|path| described.get(path).copied()).or(attached.map(|found| &found.facts));
            let Some(facts) = facts.filter(|facts| Some(&facts.identifier) == object.identifier.as_ref())
            else {
                continue;
            };
            let document = path.and_then(|path| view.position(path));
            let document = document.and_then(|at| first.checked_add(i64::try_from(at).ok()?));
            self.system_metadata(file, facts, document, attached)?;
            documented += 1;
            hidden += i64::from(!facts.is_public());
        }
        for (metadata, data) in &documents.relations {
            let (metadata, data) = (self.object(metadata.as_str())?, self.object(data.as_str())?);
            let sql =
                "INSERT INTO documents (artifact, metadata, data) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            self.execute(sql, [id, metadata, data])?;
        }
        let sql = "UPDATE artifact SET documented = ?2, hidden = ?3 WHERE id = ?1";
        self.execute(sql, [id, documented, hidden])?;
        for (path, metadata) in &documents.science {
            let position = view.position(path).and_then(|at| i64::try_from(at).ok());
            let Some(file) = position.and_then(|at| first.checked_add(at)) else { continue };
            self.record(id, Some(file), artifact, metadata)?;
        }
        Ok(())
    }

    /// Adds an entry of the search.
    fn record(
        &self,
        id: i64,
        file: Option<i64>,
        artifact: &CollectedArtifact,
        metadata: &ScienceMetadata,
    ) -> rusqlite::Result<()> {
        let record = self.execute(
            "INSERT INTO record (artifact, file, public, archived, content) VALUES (?1, ?2, \
             (SELECT public FROM system_metadata WHERE file = ?2), \
             ifnull((SELECT archived FROM system_metadata WHERE file = ?2), ?3), ?4)",
            params![id, file, artifact.archived, records::compressed(metadata)],
        )?;
        let sql =
            "SELECT object.identifier FROM file JOIN object ON object.id = file.object WHERE file.id = ?1";
        let pid: Option<String> =
            self.connection.prepare_cached(sql)?.query_row([file], |row| row.get(0)).optional()?;
        let named =
            [&artifact.summary.identifier, &artifact.summary.resource_map, &artifact.summary.series_id];
        let mut other: Vec<&str> = named.into_iter().filter_map(Option::as_deref).collect();
        other.extend(pid.as_deref().filter(|pid| artifact.summary.identifier.as_deref() != Some(pid)));
        let words = records::Words::of(metadata, artifact.summary.title.as_deref(), &other.join(" "));
        self.execute(
            "INSERT INTO words (rowid, title, creator, abstract, keyword, taxon, place, attribute, other) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                record,
                words.title,
                words.creator,
                words.prose,
                words.keyword,
                words.taxon,
                words.place,
                words.attribute,
                words.other,
            ],
        )?;
        for orcid in metadata.creators.iter().filter_map(|creator| creator.orcid.as_deref()) {
            let sql = "INSERT INTO creator (orcid, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.execute(sql, params![orcid, record])?;
        }
        for (first, last) in metadata.periods.iter().filter_map(Period::days).take(records::MOST_PERIODS) {
            let sql = "INSERT INTO period (first, last, record) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
            self.execute(sql, params![first, last, record])?;
        }
        for (id, [west, south, east, north]) in records::areas(record, &metadata.boxes) {
            let sql = "INSERT INTO area (id, west, east, south, north) VALUES (?1, ?2, ?3, ?4, ?5)";
            self.execute(sql, params![id, west, east, south, north])?;
        }
        Ok(())
    }

    /// Adds the files and directories of an artifact, and returns the row of the first file.
    fn files(&mut self, id: i64, view: &PackageView) -> rusqlite::Result<i64> {
        let next = "SELECT ifnull(max(id), 0) + 1 FROM file";
        let first: i64 = self.connection.prepare_cached(next)?.query_row([], |row| row.get(0))?;
        let mut directories = BTreeMap::new();
        self.directory(id, "", first, &mut directories)?;
        for path in view.empty_directories() {
            self.directory(id, path, first, &mut directories)?;
        }
        for (file, entry) in (first..).zip(view.entries()) {
            let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", entry.path));
            let directory = self.directory(id, parent, file, &mut directories)?;
            self.file(file, directory, name, &entry)?;
            let mut at = Some(parent);
            while let Some(path) = at {
                if let Some(growing) = directories.get_mut(path) {
                    growing.files += 1;
                    growing.bytes = growing.bytes.saturating_add(entry.size);
                    growing.last = file;
                    if growing.files == 1 {
                        growing.first = file;
                    }
                }
                at = parent_of(path);
            }
        }
        for growing in directories.values() {
            self.execute(
                "UPDATE directory SET files = ?2, bytes = ?3, first = ?4, last = ?5 WHERE id = ?1",
                params![
                    growing.id,
                    stored(growing.files),
                    stored(growing.bytes),
                    growing.first,
                    growing.last
                ],
            )?;
        }
        if let Some(root) = directories.get("") {
            let sql = "UPDATE artifact SET files = ?2, bytes = ?3 WHERE id = ?1";
            self.execute(sql, params![id, stored(root.files), stored(root.bytes)])?;
        }
        Ok(first)
    }

    /// Returns the row of a directory, and adds it and the directories above it if they are new.
    fn directory(
        &self,
        artifact: i64,
        path: &str,
        first: i64,
        known: &mut BTreeMap<String, Growing>,
    ) -> rusqlite::Result<i64> {
        if let Some(growing) = known.get(path) {
            return Ok(growing.id);
        }
        let mut missing = vec![path];
        let mut at = parent_of(path);
        let mut parent = None;
        while let Some(above) = at {
            if let Some(growing) = known.get(above) {
                parent = Some(growing.id);
                break;
            }
            missing.push(above);
            at = parent_of(above);
        }
        let mut id = 0;
        for path in missing.into_iter().rev() {
            id = self.execute(
                "INSERT INTO directory (artifact, parent, path, files, bytes, first, last) VALUES (?1, ?2, ?3, 0, 0, ?4, ?5)",
                params![artifact, parent, path, first, first - 1],
            )?;
            parent = Some(id);
            known.insert(path.to_owned(), Growing { id, files: 0, bytes: 0, first, last: first - 1 });
        }
        Ok(id)
    }

    fn file(&mut self, id: i64, directory: i64, name: &str, entry: &Entry<'_>) -> rusqlite::Result<()> {
        let facts = entry.object;
        let state = facts.and_then(|facts| facts.state.as_deref());
        let format_id = facts.and_then(|facts| facts.format_id.as_deref());
        let format = self.optional_term(format_id)?;
        let media_type = match facts.and_then(|facts| facts.media_type.clone()) {
            Some(media_type) => media_type,
            None => media_type_of(entry.path, format_id),
        };
        let media_type = self.term(media_type.as_str())?;
        let identifier = facts.and_then(|facts| facts.identifier.as_ref());
        let object = identifier.map(|identifier| self.object(identifier.as_str())).transpose()?;
        self.objects.extend(object);
        let mut others = Digests::new();
        for (algorithm, digest) in entry.checksums.iter().flat_map(|checksums| checksums.iter()) {
            if algorithm != Algorithm::Sha256 {
                others.insert(algorithm, digest);
            }
        }
        let others = (!others.view().as_bytes().is_empty()).then_some(others);
        let (layer, parts, offset) = match entry.place {
            Place::Archive { layer, offset } => (layer, None, Some(stored(offset))),
            Place::Object { layer } => (layer, None, None),
            Place::Parts { first, count } => (first, Some(count), None),
        };
        self.execute(
            "INSERT INTO file (id, directory, name, size, object, format, media_type, sha256, digests, layer, parts, \
             offset, series, obsoleted_by, archived, not_public) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
             ?13, ?14, ?15, ?16)",
            params![
                id,
                directory,
                name,
                stored(entry.size),
                object,
                format,
                media_type,
                entry.sha256,
                others.as_ref().map(|others| others.view().as_bytes()),
                layer,
                parts,
                offset,
                state.and_then(|state| state.series_id.as_ref()).map(Identifier::as_str),
                state.and_then(|state| state.obsoleted_by.as_ref()).map(Identifier::as_str),
                state.is_some_and(|state| state.archived),
                state.is_some_and(|state| state.not_public),
            ],
        )?;
        for (_, digest) in others.iter().flat_map(|others| others.iter()) {
            let sql = "INSERT INTO checksum (value, file) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            self.execute(sql, params![digest, id])?;
        }
        Ok(())
    }

    fn system_metadata(
        &mut self,
        file: i64,
        facts: &SystemMetadata,
        document: Option<i64>,
        attached: Option<&AttachedDocument>,
    ) -> rusqlite::Result<()> {
        let attached = attached.filter(|_| document.is_none());
        let replicas: Vec<&str> = facts.replicas.iter().map(|replica| replica.member_node.as_str()).collect();
        let replicas = (!replicas.is_empty()).then(|| replicas.join(" "));
        let instant = |date: &Option<d1_model::DateTime>| {
            date.as_ref().and_then(|date| date.instant()).map(Timestamp::as_millisecond)
        };
        let text =
            |identifier: &Option<Identifier>| identifier.as_ref().map(|found| found.as_str().to_owned());
        let version = if facts.schema_version == SchemaVersion::V1 { 1 } else { 2 };
        let values = params![
            file,
            document,
            attached.map(|attached| DigestColumn(attached.manifest.clone())),
            attached.map(|attached| DigestColumn(attached.blob.clone())),
            attached.map(|attached| stored(attached.bytes.len() as u64)),
            version,
            facts.serial_version.map(stored),
            self.term(&facts.format_id)?,
            stored(facts.size),
            self.term(facts.checksum.algorithm().name())?,
            facts.checksum.value(),
            self.optional_term(facts.submitter.as_deref())?,
            self.term(&facts.rights_holder)?,
            facts.is_public(),
            facts.archived == Some(true),
            text(&facts.series_id),
            text(&facts.obsoletes),
            text(&facts.obsoleted_by),
            instant(&facts.date_uploaded),
            instant(&facts.date_modified),
            self.optional_term(facts.origin_member_node.as_deref())?,
            self.optional_term(facts.authoritative_member_node.as_deref())?,
            self.optional_term(replicas.as_deref())?,
            self.optional_term(facts.media_type.as_ref().map(|media_type| media_type.name.as_str()))?,
            facts.file_name,
        ];
        self.execute(
            "INSERT INTO system_metadata (file, document, referrer, blob, blob_size, version, serial, format, size, algorithm, \
             checksum, submitter, rights_holder, public, archived, series, obsoletes, obsoleted_by, uploaded, modified, \
             origin, authoritative, replicas, media_type, file_name) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
             ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)",
            values,
        )
        .map(drop)
    }

    /// Replaces the system metadata of a single object.
    fn replace_attached(
        &mut self,
        artifact: i64,
        attached: Option<&AttachedDocument>,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT file.id, object.identifier, object.id FROM file JOIN directory ON directory.id = file.directory \
                   JOIN object ON object.id = file.object WHERE directory.artifact = ?1";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Option<(i64, String, i64)> =
            self.connection.prepare_cached(sql)?.query_row([artifact], row).optional()?;
        let Some((file, identifier, object)) = found else { return Ok(()) };
        let digest = attached.map(|attached| DigestColumn(attached.manifest.clone()));
        let same = "SELECT EXISTS (SELECT 1 FROM system_metadata WHERE file = ?1 AND referrer IS ?2)";
        if self.connection.prepare_cached(same)?.query_row(params![file, digest], |row| row.get(0))? {
            return Ok(());
        }
        self.execute("DELETE FROM system_metadata WHERE file = ?1", [file])?;
        let attached = attached.filter(|attached| attached.facts.identifier.as_str() == identifier);
        if let Some(attached) = attached {
            self.system_metadata(file, &attached.facts, None, Some(attached))?;
        }
        let (documented, hidden) =
            (attached.is_some(), attached.is_some_and(|found| !found.facts.is_public()));
        let sql = "UPDATE artifact SET documented = ?2, hidden = ?3 WHERE id = ?1";
        self.execute(sql, params![artifact, documented, hidden])?;
        let facts =
            attached.map(|attached| (attached.facts.is_public(), attached.facts.archived == Some(true)));
        let sql = "UPDATE record SET public = ?2, archived = ifnull(?3, archived) WHERE artifact = ?1";
        self.execute(sql, params![artifact, facts.map(|facts| facts.0), facts.map(|facts| facts.1)])?;
        self.objects.insert(object);
        changed(self.connection)
    }

    /// Notes a tag whose manifest cannot be read.
    fn unreadable(&self, tag: &str, fault: &str) -> rusqlite::Result<()> {
        self.execute(
            "INSERT INTO tag (repository, name, position, digest, artifact, fault) \
             SELECT ?1, name, position, digest, NULL, ?3 FROM temp.listed WHERE name = ?2 \
             ON CONFLICT (repository, name) DO UPDATE SET position = excluded.position, digest = excluded.digest, \
             artifact = NULL, fault = excluded.fault",
            params![self.repository, tag, fault],
        )
        .map(drop)
    }
}

/// Returns the facts in the manifest of an artifact without a science metadata document.
fn facts_of_manifest(artifact: &CollectedArtifact) -> ScienceMetadata {
    let mut metadata = ScienceMetadata::default();
    metadata.title.clone_from(&artifact.summary.title);
    metadata.package_id.clone_from(&artifact.summary.identifier);
    metadata.license.clone_from(&artifact.license);
    let authors = artifact.authors.iter().flat_map(|authors| authors.split(", "));
    metadata.creators = authors.map(|name| Party { name: name.to_owned(), ..Party::default() }).collect();
    metadata
}

/// Returns the directory above a path, or `None` for the root.
fn parent_of(path: &str) -> Option<&str> {
    if path.is_empty() {
        return None;
    }
    Some(path.rsplit_once('/').map_or("", |(parent, _)| parent))
}

/// A file that has the identifier of an object.
struct Copy {
    file: i64,
    sha256: Option<Vec<u8>>,
    modified: Option<i64>,
    serial: Option<i64>,
    uploaded: Option<i64>,
    public: bool,
    series: Option<String>,
    format: Option<i64>,
    is_tagged: bool,
}

/// How many copies of an object compete.
const MOST_COPIES: usize = 10_000;

/// Chooses the copy that stands for an object.
///
/// Copies with equal content compete by the date of their system metadata. If copies have different content, the one in the
/// artifact that the identifier's tag names wins, then the one that was uploaded first.
fn choose_copy(connection: &Connection, object: i64) -> rusqlite::Result<()> {
    let mut identifier = connection.prepare_cached("SELECT identifier FROM object WHERE id = ?1")?;
    let identifier: String = identifier.query_row([object], |row| row.get(0))?;
    let tag = identifier.parse::<Identifier>().map(|identifier| identifier.tag()).unwrap_or_default();
    let sql = format!(
        "SELECT file.id, file.sha256, facts.modified, facts.serial, facts.uploaded, ifnull(facts.public, 0), facts.series, \
         ifnull(facts.format, file.format), EXISTS (SELECT 1 FROM tag WHERE tag.artifact = directory.artifact AND tag.name = ?2) \
         FROM file JOIN directory ON directory.id = file.directory LEFT JOIN system_metadata AS facts ON facts.file = file.id \
         WHERE file.object = ?1 ORDER BY file.id LIMIT {MOST_COPIES}"
    );
    let mut copies = connection.prepare_cached(&sql)?;
    let copy = |row: &Row<'_>| {
        Ok(Copy {
            file: row.get(0)?,
            sha256: row.get(1)?,
            modified: row.get(2)?,
            serial: row.get(3)?,
            uploaded: row.get(4)?,
            public: row.get(5)?,
            series: row.get(6)?,
            format: row.get(7)?,
            is_tagged: row.get(8)?,
        })
    };
    let copies = copies.query_map(params![object, tag], copy)?.collect::<rusqlite::Result<Vec<_>>>()?;
    let contents: HashSet<_> = copies.iter().filter_map(|copy| copy.sha256.as_deref()).collect();
    let conflict = contents.len() > 1;
    let first = copies.iter().min_by_key(|copy| {
        (!copy.is_tagged, copy.uploaded.is_none(), copy.uploaded, copy.sha256.as_deref(), copy.file)
    });
    let content = first.and_then(|first| first.sha256.as_deref());
    let chosen = copies
        .iter()
        .filter(|copy| !conflict || copy.sha256.as_deref() == content)
        .max_by_key(|copy| (copy.modified, copy.serial, std::cmp::Reverse(copy.file)));
    let mut update = connection.prepare_cached(
        "UPDATE object SET file = ?2, modified = ?3, public = ?4, series = ?5, format = ?6, conflict = ?7 WHERE id = ?1",
    )?;
    update.execute(params![
        object,
        chosen.map(|copy| copy.file),
        chosen.and_then(|copy| copy.modified),
        chosen.is_some_and(|copy| copy.public),
        chosen.and_then(|copy| copy.series.as_deref()),
        chosen.and_then(|copy| copy.format),
        conflict,
    ])?;
    Ok(())
}

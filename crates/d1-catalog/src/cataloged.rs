//! Find, history and locate through a catalogue, with the results that reading the repository would give.

use std::ops::ControlFlow;
use std::sync::Arc;

use bagit::Algorithm;
use d1_model::Identifier;
use d1_package::{Entry, ObjectFacts, ObjectState, Place};
use d1_transfer::parts::run_blocking;
use d1_transfer::{Event, ListedFile, Observer};
use oci_model::ManifestRef;
use registry_backend::RegistryBackend;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

use crate::artifact::{ArtifactKind, ArtifactSummary};
use crate::error::Result;
use crate::find::{Found, Query, tag_of};
use crate::history::{History, KnownVersion, StoredVersion, asked_version, history_of};
use crate::locate::{Located, Obsoletes, Purpose, by_tag, only_choice};
use crate::rows::{
    DigestColumn, FILE_COLUMNS, FILE_TABLES, PACKAGE_COLUMNS, PACKAGE_TABLES, TagColumn, count, file, summary,
};
use crate::search::Condition;
use crate::store::Catalog;
use crate::update::{UpdateOptions, UpdateReport};

/// A repository with its catalogue. Every call brings the catalogue up to date first.
#[derive(Clone, Copy, Debug)]
pub struct CatalogedRepository<'a> {
    /// The catalogue.
    pub catalog: &'a Catalog,
    /// The repository.
    pub backend: &'a dyn RegistryBackend,
    /// The name of the repository in the catalogue, which is the same on every run.
    pub name: &'a str,
}

impl CatalogedRepository<'_> {
    /// Brings the catalogue up to date.
    ///
    /// # Errors
    ///
    /// As [`Catalog::update`].
    pub async fn update(
        &self,
        options: &UpdateOptions,
        observer: &Arc<dyn Observer>,
    ) -> Result<UpdateReport> {
        let options = UpdateOptions { name: Some(self.name.to_owned()), ..options.clone() };
        self.catalog.update(self.backend, &options, observer).await
    }

    /// Calls `each` with the artifacts and objects that match, in the order of [`find`](crate::find()), until it breaks.
    ///
    /// # Errors
    ///
    /// As [`Catalog::update`].
    pub async fn find(
        &self,
        query: &Query,
        observer: &Arc<dyn Observer>,
        each: &mut (dyn FnMut(Found) -> ControlFlow<()> + Send),
    ) -> Result<()> {
        self.update(&UpdateOptions::default(), observer).await?;
        let first = query.identifier.as_ref().and_then(tag_of);
        let first = first.as_ref().map(|tag| tag.as_str());
        self.catalog.read("search", |connection| {
            Finding { connection, repository: repository(connection, self.name)?, query, observer }
                .each(first, each)
        })
    }

    /// Returns the versions that [`history`](crate::history()) returns.
    ///
    /// # Errors
    ///
    /// As [`history`](crate::history()) and [`Catalog::update`].
    pub async fn history(&self, at: &ManifestRef, observer: &Arc<dyn Observer>) -> Result<History> {
        let (asked, own) = asked_version(self.backend, at).await?;
        self.update(&UpdateOptions::default(), observer).await?;
        let (catalog, name, wanted) = (self.catalog.clone(), self.name.to_owned(), asked.clone());
        let stored = run_blocking(move || {
            catalog.read("search", |connection| versions(connection, repository(connection, &name)?, &wanted))
        });
        history_of(self.backend, &asked, own, stored.await?, observer).await
    }

    /// Finds the artifact that [`locate`](crate::locate()) finds.
    ///
    /// # Errors
    ///
    /// As [`locate`](crate::locate()) and [`Catalog::update`].
    pub async fn locate(
        &self,
        identifier: &Identifier,
        purpose: Purpose,
        observer: &Arc<dyn Observer>,
    ) -> Result<Located> {
        if let Some(digest) = by_tag(self.backend, identifier, observer).await? {
            return Ok(Located { digest, by_tag: true });
        }
        self.update(&UpdateOptions::default(), observer).await?;
        let query = Query { identifier: Some(identifier.clone()), ..Query::default() };
        let (found, obsoletes) = self.catalog.read("search", |connection| {
            let repository = repository(connection, self.name)?;
            let mut found = Vec::new();
            Finding { connection, repository, query: &query, observer }.each(None, &mut |next| {
                found.push(next);
                ControlFlow::Continue(())
            })?;
            let obsoletes =
                if found.len() > 1 { obsoletes(connection, repository)? } else { Obsoletes::new() };
            Ok((found, obsoletes))
        })?;
        only_choice(self.backend, &found, identifier, purpose, &obsoletes)
    }
}

fn repository(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row("SELECT id FROM repository WHERE name = ?1", [name], |row| row.get(0))
}

/// Returns for each version the one that it replaces.
fn obsoletes(connection: &Connection, repository: i64) -> rusqlite::Result<Obsoletes> {
    let mut statement = connection.prepare(
        "SELECT identifier, obsoletes FROM artifact WHERE repository = ?1 AND identifier IS NOT NULL \
         AND obsoletes IS NOT NULL ORDER BY position",
    )?;
    let mut obsoletes = Obsoletes::new();
    for row in statement.query_map([repository], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))? {
        let (newer, older) = row?;
        obsoletes.entry(newer).or_insert(older);
    }
    Ok(obsoletes)
}

/// Returns all artifacts whose version is connected with the one that is asked for, in the order of the tags.
fn versions(connection: &Connection, repository: i64, asked: &str) -> rusqlite::Result<Vec<KnownVersion>> {
    let mut statement = connection.prepare(
        "WITH RECURSIVE chain (identifier) AS (VALUES (?2) UNION \
         SELECT artifact.obsoletes FROM chain JOIN artifact ON artifact.identifier = chain.identifier \
             WHERE artifact.repository = ?1 AND artifact.obsoletes IS NOT NULL UNION \
         SELECT artifact.identifier FROM chain JOIN artifact ON artifact.obsoletes = chain.identifier \
             WHERE artifact.repository = ?1 AND artifact.identifier IS NOT NULL) \
         SELECT identifier, obsoletes, digest, tag, created, series, CASE WHEN described THEN title END FROM artifact \
         WHERE repository = ?1 AND identifier IN (SELECT identifier FROM chain) ORDER BY position",
    )?;
    let version = |row: &Row<'_>| {
        let stored = StoredVersion {
            digest: row.get::<_, DigestColumn>(2)?.0,
            tag: Some(row.get::<_, TagColumn>(3)?.0),
            created: row.get(4)?,
            series_id: row.get(5)?,
            title: row.get(6)?,
            copies: Vec::new(),
            shared_blobs: 0,
            new_blobs: 0,
            new_bytes: 0,
        };
        Ok((row.get(0)?, row.get(1)?, stored))
    };
    statement.query_map(params![repository, asked], version)?.collect()
}

/// A search of one repository.
struct Finding<'a> {
    connection: &'a Connection,
    repository: i64,
    query: &'a Query,
    observer: &'a Arc<dyn Observer>,
}

/// An artifact that the search looks at.
struct Candidate {
    id: i64,
    artifact: ArtifactSummary,
    fault: Option<String>,
}

impl Finding<'_> {
    /// Searches the artifacts in the order of the tags, beginning with the one that the tag `first` names.
    fn each(
        &self,
        first: Option<&str>,
        each: &mut (dyn FnMut(Found) -> ControlFlow<()> + Send),
    ) -> rusqlite::Result<()> {
        self.warn_of_tags()?;
        let named = self.named(first)?;
        let (condition, values) = self.condition();
        let sql = format!(
            "SELECT {PACKAGE_COLUMNS}, artifact.content_digest, artifact.not_public FROM {PACKAGE_TABLES} WHERE {condition} \
             ORDER BY artifact.id = {} DESC, artifact.position",
            named.unwrap_or(-1)
        );
        let mut statement = self.connection.prepare(&sql)?;
        let mut rows = statement.query(params_from_iter(&values))?;
        while let Some(row) = rows.next()? {
            let mut candidate = Candidate { id: row.get(0)?, artifact: summary(row)?, fault: row.get(23)? };
            candidate.artifact.state.content_digest = row.get(24)?;
            candidate.artifact.state.not_public = count(row, 25)?;
            if let Some(tag) = first.filter(|_| named == Some(candidate.id)).and_then(|tag| tag.parse().ok())
            {
                candidate.artifact.tag = tag;
            }
            if !self.query.fits_whole(&candidate.artifact) {
                continue;
            }
            let found = if self.query.objects { self.objects(&candidate)? } else { self.whole(&candidate)? };
            for found in found {
                if each(found).is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn named(&self, tag: Option<&str>) -> rusqlite::Result<Option<i64>> {
        let Some(tag) = tag else { return Ok(None) };
        let sql = "SELECT artifact FROM tag WHERE repository = ?1 AND name = ?2 AND artifact IS NOT NULL";
        self.connection
            .prepare_cached(sql)?
            .query_row(params![self.repository, tag], |row| row.get(0))
            .optional()
    }

    fn warn(&self, tag: &str, fault: &str) {
        self.observer.event(&Event::Warning(&format!("`{tag}` is skipped: {fault}")));
    }

    /// Warns of the tags whose manifest cannot be read.
    fn warn_of_tags(&self) -> rusqlite::Result<()> {
        let sql = "SELECT name, fault FROM tag WHERE repository = ?1 AND fault IS NOT NULL ORDER BY position";
        let mut statement = self.connection.prepare_cached(sql)?;
        for row in statement.query_map([self.repository], |row| Ok((row.get(0)?, row.get(1)?)))? {
            let (tag, fault): (String, String) = row?;
            self.warn(&tag, &fault);
        }
        Ok(())
    }

    /// Returns a condition that all matches satisfy, and the values of its parameters. It finds them by the indexes of the
    /// database; the exact comparison follows.
    fn condition(&self) -> (String, Vec<Value>) {
        let query = self.query;
        let mut texts = vec!["artifact.repository = ?1".to_owned()];
        let mut values: Vec<Value> = vec![self.repository.into()];
        let holding =
            "SELECT directory.artifact FROM file JOIN directory ON directory.id = file.directory WHERE";
        let faulty = "SELECT id FROM artifact WHERE repository = ?1 AND fault IS NOT NULL";
        if let Some(identifier) = &query.identifier {
            values.push(identifier.as_str().to_owned().into());
            let at = values.len();
            texts.push(format!(
                "artifact.id IN (SELECT id FROM artifact WHERE identifier = ?{at} UNION \
                 SELECT id FROM artifact WHERE resource_map = ?{at} UNION SELECT id FROM artifact WHERE series = ?{at} UNION \
                 {holding} file.object = (SELECT id FROM object WHERE identifier = ?{at}) UNION \
                 {holding} file.series = ?{at} UNION {faulty})"
            ));
        }
        if let Some((algorithm, digest)) = &query.digest {
            values.push(digest.clone().into());
            let at = values.len();
            let files = match algorithm {
                Algorithm::Sha256 => format!("file.sha256 = ?{at}"),
                _ => format!("file.id IN (SELECT file FROM checksum WHERE value = ?{at})"),
            };
            texts.push(format!("artifact.id IN ({holding} {files} UNION {faulty})"));
        }
        let mut condition = Condition { values, ..Condition::default() };
        if !query.content.is_empty() {
            query.content.add_to(&mut condition);
            let records = condition.from(query.content.words().is_some());
            texts.push(format!("artifact.id IN (SELECT record.artifact FROM {records})"));
        }
        (texts.join(" AND "), condition.values)
    }

    /// Returns the files of an artifact that satisfy a condition, in the order of the package.
    fn files(
        &self,
        of: i64,
        condition: &str,
        values: &[Value],
        most: u32,
    ) -> rusqlite::Result<Vec<(ListedFile, bagit::Digests)>> {
        let sql = format!(
            "SELECT {FILE_COLUMNS}, file.series, file.obsoleted_by, file.archived, file.not_public FROM {FILE_TABLES} \
             WHERE directory.artifact = ?1 AND {condition} ORDER BY file.id LIMIT {most}"
        );
        let values = std::iter::once(Value::from(of)).chain(values.iter().cloned());
        let mut statement = self.connection.prepare_cached(&sql)?;
        let listed = |row: &Row<'_>| {
            let file = file(row)?;
            let identifier = |column: usize| {
                let text: Option<String> = row.get(column)?;
                Ok::<_, rusqlite::Error>(text.and_then(|text| text.parse().ok()))
            };
            let state = ObjectState {
                series_id: identifier(16)?,
                obsoleted_by: identifier(17)?,
                archived: row.get(18)?,
                not_public: row.get(19)?,
            };
            let facts = ObjectFacts {
                state: Some(Box::new(state)),
                identifier: file.pid.as_deref().and_then(|pid| pid.parse().ok()),
                format_id: file.format_id.as_deref().map(Into::into),
                ..ObjectFacts::default()
            };
            let entry = Entry {
                path: &file.path,
                size: file.size,
                sha256: file.sha256(),
                checksums: None,
                object: Some(&facts),
                place: Place::Object { layer: 0 },
            };
            Ok((ListedFile::from(&entry), file.digests))
        };
        statement.query_map(params_from_iter(values), listed)?.collect()
    }

    /// Returns every matching object of an artifact.
    fn objects(&self, candidate: &Candidate) -> rusqlite::Result<Vec<Found>> {
        if self.has_no_files(candidate) {
            return Ok(Vec::new());
        }
        let mut objects = self.files(candidate.id, "file.object IS NOT NULL", &[], u32::MAX)?;
        objects.retain(|(object, digests)| {
            (self.query.fits_identifier(object.identifier.as_deref())
                || self.query.fits_identifier(object.series_id.as_deref()))
                && self.query.fits_format(object.format_id.as_deref())
                && self.query.fits_digest(|algorithm| digests.get(algorithm))
        });
        let found = |object| Found { artifact: candidate.artifact.clone(), object: Some(object) };
        Ok(objects.into_iter().map(|(object, _)| found(object)).collect())
    }

    /// Returns the artifact if it matches, with the object by which it matches.
    fn whole(&self, candidate: &Candidate) -> rusqlite::Result<Vec<Found>> {
        let Candidate { id, artifact, .. } = candidate;
        let query = self.query;
        let is_named = query.names(artifact);
        let format = query.format_id.clone().map(Value::from);
        let has_format = match &format {
            None => true,
            Some(_) if query.fits_format(artifact.format_id.as_deref()) => true,
            Some(format) => {
                let sql = "SELECT EXISTS (SELECT 1 FROM layer JOIN term ON term.id = layer.format \
                           WHERE layer.artifact = ?1 AND term.value = ?2)";
                self.connection.prepare_cached(sql)?.query_row(params![id, format], |row| row.get(0))?
            }
        };
        let found = |object| Ok(vec![Found { artifact: artifact.clone(), object }]);
        if is_named && has_format && query.digest.is_none() {
            return found(None);
        }
        if self.has_no_files(candidate) {
            return Ok(Vec::new());
        }
        let mut object = None;
        if let Some(wanted) = query.identifier.as_ref().filter(|_| !is_named) {
            let wanted = [Value::from(wanted.as_str().to_owned())];
            let named = "file.object = (SELECT id FROM object WHERE identifier = ?2)";
            let mut first = self.files(*id, named, &wanted, 1)?.into_iter().next();
            // The head of a series comes before versions that others replace.
            for of_series in ["file.series = ?2 AND file.obsoleted_by IS NULL", "file.series = ?2"] {
                if first.is_none() {
                    first = self.files(*id, of_series, &wanted, 1)?.into_iter().next();
                }
            }
            let Some((first, _)) = first else { return Ok(Vec::new()) };
            object = Some(first);
        }
        if let Some((algorithm, digest)) = &query.digest {
            let condition = match algorithm {
                Algorithm::Sha256 => "file.sha256 = ?2",
                _ => "file.id IN (SELECT file FROM checksum WHERE value = ?2)",
            };
            let files = self.files(*id, condition, &[digest.clone().into()], u32::MAX)?;
            let first =
                files.into_iter().find(|(_, digests)| query.fits_digest(|algorithm| digests.get(algorithm)));
            let Some((first, _)) = first else { return Ok(Vec::new()) };
            object.get_or_insert(first);
        }
        if let Some(format) = format.filter(|_| !has_format)
            && self.files(*id, "format.value = ?2", &[format], 1)?.is_empty()
        {
            return Ok(Vec::new());
        }
        found(object)
    }

    /// Tells whether the files of an artifact are unknown, and warns if its index cannot be read.
    fn has_no_files(&self, candidate: &Candidate) -> bool {
        if let Some(fault) = &candidate.fault {
            self.warn(candidate.artifact.tag.as_str(), fault);
        }
        candidate.fault.is_some() || candidate.artifact.kind == Some(ArtifactKind::Index)
    }
}

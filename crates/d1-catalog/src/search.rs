//! Searching the content of science metadata: words, creators, places and periods.

use d1_metadata::{BoundingBox, ScienceMetadata, orcid_in};
use jiff::civil::{Date, date};
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, params_from_iter};
use serde::Serialize;

use crate::error::Result;
use crate::packages::IS_CURRENT;
use crate::records::{MOST_AREAS, decompressed};
use crate::rows::{CatalogPackage, PACKAGE_COLUMNS, PACKAGE_TABLES, PackageId, Page, package, stored};
use crate::store::Catalog;

/// A search. A document matches if it satisfies every field that is set.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SearchQuery {
    /// Words that the document contains, in any order. Double quotes keep words together, a star at the end of a word stands
    /// for any ending, a minus before a word excludes it.
    pub text: Option<String>,
    /// Beginnings of words of the title, in any order.
    pub title: Option<String>,
    /// Words of the name of a creator, or an ORCID.
    pub creator: Option<String>,
    /// A box that meets a place of the document.
    pub bbox: Option<BoundingBox>,
    /// The first day of a time that meets a period of the document.
    pub from: Option<Date>,
    /// The last day of this time.
    pub to: Option<Date>,
    /// Only documents in this repository.
    pub repository: Option<String>,
    /// Only documents that everybody may read.
    pub public_only: bool,
    /// Only documents in packages that no other package of the repository replaces.
    pub current_only: bool,
    /// Also documents of archived objects.
    pub archived: bool,
    /// The order of the results.
    pub order: SearchOrder,
}

/// The order of results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SearchOrder {
    /// The best match first; without words, the newest.
    #[default]
    Best,
    /// The newest package first.
    Newest,
}

/// A document that matches, or an artifact without a document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SearchHit {
    /// Its package.
    pub package: CatalogPackage,
    /// Identifier of the document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Its content.
    pub metadata: ScienceMetadata,
    /// How well it matches: the greater the better. Absent without words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// A science metadata document of a package.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StoredMetadata {
    /// Its path. Absent for facts from the manifest of an artifact without a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Its content.
    pub metadata: ScienceMetadata,
}

/// How many matches are counted. Beyond, the total is this number.
const MOST_COUNTED: u64 = 10_000;

/// How much a word in each column counts.
const WEIGHTS: &str = "10.0, 5.0, 1.0, 4.0, 3.0, 2.0, 0.5, 3.0";

/// Documents of one package that are returned.
const MOST_DOCUMENTS: u64 = 1000;

impl Catalog {
    /// Returns a page of the documents that match. At most 10,000 are counted.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read.
    pub fn search(&self, query: &SearchQuery, start: u64, count: u64) -> Result<Page<SearchHit>> {
        let mut condition = Condition::default();
        query.add_to(&mut condition);
        let has_words = query.words().is_some();
        self.read("search", |connection| {
            let from = condition.from(has_words);
            let sql = format!("SELECT count(*) FROM (SELECT 1 FROM {from} LIMIT {MOST_COUNTED})");
            let total = connection.prepare(&sql)?.query_row(params_from_iter(&condition.values), |row| {
                crate::rows::count(row, 0)
            })?;
            let order = match query.order {
                SearchOrder::Best if has_words => format!("bm25(words, {WEIGHTS}), record.id"),
                _ => "artifact.created_at DESC, record.id DESC".to_owned(),
            };
            let score = if has_words { format!("-bm25(words, {WEIGHTS})") } else { "NULL".to_owned() };
            let sql = format!(
                "SELECT record.id, {score} FROM {from} ORDER BY {order} LIMIT {} OFFSET {}",
                stored(count),
                stored(start)
            );
            let mut found = connection.prepare(&sql)?;
            let rows = found.query_map(params_from_iter(&condition.values), |row| Ok((row.get(0)?, row.get(1)?)))?;
            let rows = rows.collect::<rusqlite::Result<Vec<(i64, Option<f64>)>>>()?;
            let sql = format!(
                "SELECT {PACKAGE_COLUMNS}, record.content, object.identifier FROM {PACKAGE_TABLES} \
                 JOIN record ON record.artifact = artifact.id \
                 LEFT JOIN file ON file.id = record.file LEFT JOIN object ON object.id = file.object WHERE record.id = ?1"
            );
            let mut select = connection.prepare_cached(&sql)?;
            let mut items = Vec::new();
            for (record, score) in rows {
                items.extend(select.query_row([record], |row| {
                    let metadata = decompressed(&row.get::<_, Vec<u8>>(24)?);
                    Ok(SearchHit { package: package(connection, row)?, pid: row.get(25)?, metadata, score })
                }).optional()?);
            }
            Ok(Page { total, items })
        })
    }

    /// Returns the content of the science metadata documents of a package.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read.
    pub fn science_metadata(&self, of: PackageId) -> Result<Vec<StoredMetadata>> {
        self.read("search", |connection| {
            let sql = format!(
                "SELECT directory.path, file.name, object.identifier, record.content FROM record \
                 LEFT JOIN file ON file.id = record.file LEFT JOIN directory ON directory.id = file.directory \
                 LEFT JOIN object ON object.id = file.object WHERE record.artifact = ?1 ORDER BY record.id LIMIT {MOST_DOCUMENTS}"
            );
            let stored = |row: &Row<'_>| {
                let path = match (row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?) {
                    (Some(directory), Some(name)) if directory.is_empty() => Some(name),
                    (Some(directory), Some(name)) => Some(format!("{directory}/{name}")),
                    _ => None,
                };
                let metadata = decompressed(&row.get::<_, Vec<u8>>(3)?);
                Ok(StoredMetadata { path, pid: row.get(2)?, metadata })
            };
            connection.prepare_cached(&sql)?.query_map([of.0], stored)?.collect()
        })
    }

    /// Returns the content of a science metadata document.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read.
    pub fn science_metadata_of(&self, pid: &str) -> Result<Option<ScienceMetadata>> {
        self.read("search", |connection| {
            let sql = "SELECT record.content FROM object JOIN file ON file.object = object.id \
                       JOIN record ON record.file = file.id WHERE object.identifier = ?1 \
                       ORDER BY file.id = object.file DESC LIMIT 1";
            let content = |row: &Row<'_>| row.get::<_, Vec<u8>>(0);
            let content = connection.prepare_cached(sql)?.query_row([pid], content).optional()?;
            Ok(content.map(|content| decompressed(&content)))
        })
    }
}

/// A condition on records, with the values of its parameters.
#[derive(Default)]
pub(crate) struct Condition {
    pub(crate) texts: Vec<String>,
    pub(crate) values: Vec<Value>,
}

impl Condition {
    /// Adds a condition. Each `?` stands for the value.
    fn and(&mut self, text: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        self.texts.push(text.replace('?', &format!("?{}", self.values.len())));
    }

    /// Returns the tables and conditions after `FROM`.
    pub(crate) fn from(&self, has_words: bool) -> String {
        let words = if has_words { "words JOIN record ON record.id = words.rowid" } else { "record" };
        let condition = if self.texts.is_empty() { "1".to_owned() } else { self.texts.join(" AND ") };
        format!("{words} JOIN artifact ON artifact.id = record.artifact WHERE {condition}")
    }
}

impl SearchQuery {
    /// Returns whether the query restricts nothing of the content of documents.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { text, title, creator, bbox, from, to, .. } = self;
        text.is_none()
            && title.is_none()
            && creator.is_none()
            && bbox.is_none()
            && from.is_none()
            && to.is_none()
    }

    /// Returns the query for the index of words, if the search has words.
    pub(crate) fn words(&self) -> Option<String> {
        let text = self.text.as_deref().map(|text| match_expression(text, None));
        let creator = self.creator.as_deref().filter(|creator| orcid_in(creator).is_none());
        let creator = creator.map(|creator| match_expression(creator, Some("creator")));
        let title = self.title.as_deref().map(|title| match_expression(&beginnings(title), Some("title")));
        let all: Vec<String> = text.into_iter().chain(title).chain(creator).collect();
        (!all.is_empty()).then(|| all.join(" AND "))
    }

    pub(crate) fn add_to(&self, condition: &mut Condition) {
        if let Some(words) = self.words() {
            condition.and("words MATCH ?", words);
        }
        if let Some(orcid) = self.creator.as_deref().and_then(orcid_in) {
            condition.and("record.id IN (SELECT record FROM creator WHERE orcid = ?)", orcid);
        }
        if let Some(bbox) = &self.bbox {
            condition.texts.push(meets(bbox));
        }
        let epoch = date(1970, 1, 1);
        let days = |day: Date| i64::from((day - epoch).get_days());
        if self.from.is_some() || self.to.is_some() {
            let (first, last) = (self.from.map_or(i64::MIN, days), self.to.map_or(i64::MAX, days));
            condition.texts.push(format!(
                "record.id IN (SELECT record FROM period WHERE period.first <= {last} AND period.last >= {first})"
            ));
        }
        if let Some(repository) = &self.repository {
            condition
                .and("artifact.repository = (SELECT id FROM repository WHERE name = ?)", repository.clone());
        }
        if self.public_only {
            condition.texts.push("ifnull(record.public, artifact.hidden = 0)".to_owned());
        }
        if self.current_only {
            condition.texts.push(IS_CURRENT.to_owned());
        }
        if !self.archived {
            condition.texts.push("NOT record.archived".to_owned());
        }
    }
}

/// Returns the condition that a place of the record meets a box. Rectangles in the index are rounded outwards.
fn meets(bbox: &BoundingBox) -> String {
    let BoundingBox { west, south, east, north, .. } = *bbox;
    let of = |west: f64, east: f64| {
        format!("west <= {east:?} AND east >= {west:?} AND south <= {north:?} AND north >= {south:?}")
    };
    let select = |condition: String| format!("SELECT id / {MOST_AREAS} FROM area WHERE {condition}");
    let selects = if west <= east {
        select(of(west, east))
    } else {
        format!("{} UNION {}", select(of(west, 180.0)), select(of(-180.0, east)))
    };
    format!("record.id IN ({selects})")
}

/// Returns the words with a star behind each, which stands for any ending. Words in double quotes stay as they are.
fn beginnings(text: &str) -> String {
    let parts = text.split('"').enumerate().map(|(number, part)| match number % 2 {
        1 => format!("\"{part}\""),
        _ => part.split_whitespace().map(|word| format!(" {}* ", word.trim_end_matches('*'))).collect(),
    });
    parts.collect()
}

/// Returns the query for FTS5 that means the user's words. Only quotes, a star and a minus have a meaning.
fn match_expression(text: &str, column: Option<&str>) -> String {
    let (mut wanted, mut excluded) = (Vec::new(), Vec::new());
    for (number, part) in text.split('"').enumerate() {
        if number % 2 == 1 {
            wanted.push(format!("\"{part}\""));
            continue;
        }
        for word in part.split_whitespace() {
            let (list, word) = match word.strip_prefix('-') {
                Some(word) => (&mut excluded, word),
                None => (&mut wanted, word),
            };
            let (word, star) = word.strip_suffix('*').map_or((word, ""), |word| (word, "*"));
            if word.chars().any(char::is_alphanumeric) {
                list.push(format!("\"{word}\"{star}"));
            }
        }
    }
    // Without a word, nothing matches.
    if wanted.is_empty() {
        wanted.push("\"\"".to_owned());
    }
    let mut expression = wanted.join(" AND ");
    if !excluded.is_empty() {
        expression = format!("({expression}) NOT ({})", excluded.join(" OR "));
    }
    match column {
        Some(column) => format!("({column} : ({expression}))"),
        None => format!("({expression})"),
    }
}

#[cfg(test)]
mod tests {
    use super::match_expression;

    #[test]
    fn only_quotes_stars_and_minus_have_a_meaning() {
        for (text, expected) in [
            ("sea ice", r#"("sea" AND "ice")"#),
            (r#""sea ice" thick*"#, r#"("sea ice" AND "thick"*)"#),
            ("ice -glacier", r#"(("ice") NOT ("glacier"))"#),
            ("NEAR(a b) OR *", r#"("NEAR(a" AND "b)" AND "OR")"#),
            (r#"open "quote"#, r#"("open" AND "quote")"#),
            ("  ", r#"("")"#),
            ("-x", r#"(("") NOT ("x"))"#),
        ] {
            assert_eq!(match_expression(text, None), expected, "{text}");
        }
        assert_eq!(match_expression("nansen", Some("creator")), r#"(creator : ("nansen"))"#);
        let title = |text| match_expression(&super::beginnings(text), Some("title"));
        assert_eq!(title("lake temp*"), r#"(title : ("lake"* AND "temp"*))"#);
        assert_eq!(title(r#""sea ice" thick"#), r#"(title : ("sea ice" AND "thick"*))"#);
    }
}

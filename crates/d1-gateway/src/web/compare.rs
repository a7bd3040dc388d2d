//! Two versions of a package compared by content: added, removed, moved and changed files; the cells of a changed table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use d1_catalog::{CatalogFile, CatalogPackage};
use serde_json::{Value, json};

use super::page::{Frame, Link, Paging, bytes, counted, cut, page_number, render};
use super::table::{self, Table, Wanted};
use crate::answer::{self, Kind, Refused, set};
use crate::app::App;
use crate::file_answer::REVALIDATE;
use crate::packages::{self, file_url, page_url};
use crate::request::{Request, path_decoded};
use crate::selection::{Files, Selection};

/// The most files of a version.
const MOST_FILES: usize = 500_000;
/// How many changes one page lists.
const PAGE: u64 = 200;
/// How many comparisons are kept.
const MOST_KEPT: usize = 8;
/// The largest tables whose cells are compared, in bytes, and the most rows.
const LARGEST_TABLE: u64 = 16 << 20;
const MOST_ROWS: u64 = 50_000;
/// How many changed cells are listed.
const MOST_CELLS: usize = 300;

/// A change between two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Changed,
    Moved,
    Added,
    Removed,
}

impl Change {
    const ALL: [Self; 4] = [Self::Changed, Self::Moved, Self::Added, Self::Removed];

    fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Moved => "moved",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Difference {
    change: Change,
    /// The path in the newer version, or in the older one if the file was removed.
    path: String,
    /// The earlier path of a file that was moved.
    before: Option<String>,
    /// The sizes in the older and in the newer version.
    sizes: (Option<u64>, Option<u64>),
}

/// The differences between two versions.
#[derive(Debug, Default)]
struct Comparison {
    differences: Vec<Difference>,
    same_files: u64,
    /// Bytes of the newer version, and those of them that the older one has too.
    bytes: u64,
    same_bytes: u64,
}

/// A file of a version.
struct Content {
    /// The digest; without one, a text that equals nothing else.
    digest: Option<[u8; 32]>,
    size: u64,
}

impl Comparison {
    /// Compares versions by the digests of their files.
    fn of(older: &BTreeMap<String, Content>, newer: &BTreeMap<String, Content>) -> Self {
        let mut result = Self::default();
        let mut by_digest: HashMap<[u8; 32], Vec<&str>> = HashMap::new();
        for (path, content) in older {
            let paths = content.digest.map(|digest| by_digest.entry(digest).or_default());
            if let Some(paths) = paths {
                paths.push(path);
            }
        }
        let mut moved_from: HashMap<&str, ()> = HashMap::new();
        for (path, content) in newer {
            result.bytes += content.size;
            let places = content.digest.and_then(|digest| by_digest.get(&digest));
            if places.is_some() {
                result.same_bytes += content.size;
            }
            let known = older.get(path);
            let sizes = (known.map(|known| known.size), Some(content.size));
            match (known, places) {
                (Some(known), _) if known.digest.is_some() && known.digest == content.digest => {
                    result.same_files += 1;
                }
                (Some(_), _) => result.add(Change::Changed, path, None, sizes),
                (None, Some(places)) => {
                    // A place that is free in the newer version was left.
                    let left = places
                        .iter()
                        .find(|place| !newer.contains_key(**place) && !moved_from.contains_key(**place));
                    match left {
                        Some(place) => {
                            moved_from.insert(place, ());
                            result.add(Change::Moved, path, Some((*place).to_owned()), (sizes.1, sizes.1));
                        }
                        None => result.add(Change::Added, path, None, sizes),
                    }
                }
                (None, None) => result.add(Change::Added, path, None, sizes),
            }
        }
        for (path, content) in older {
            if !newer.contains_key(path) && !moved_from.contains_key(path.as_str()) {
                result.add(Change::Removed, path, None, (Some(content.size), None));
            }
        }
        result.differences.sort_by(|left, right| (left.change, &left.path).cmp(&(right.change, &right.path)));
        result
    }

    fn add(&mut self, change: Change, path: &str, before: Option<String>, sizes: (Option<u64>, Option<u64>)) {
        self.differences.push(Difference { change, path: path.to_owned(), before, sizes });
    }

    fn count(&self, change: Change) -> u64 {
        self.differences.iter().filter(|difference| difference.change == change).count() as u64
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    title: String,
    older: Link,
    newer: Link,
    counts: Vec<(String, &'static str)>,
    same: String,
    shared: String,
    rows: Vec<Row>,
    paging: Paging,
    json: String,
    zip: Option<Link>,
}

struct Row {
    change: &'static str,
    path: String,
    url: String,
    before: String,
    old_size: String,
    new_size: String,
    cells: Option<String>,
}

#[derive(Template)]
#[template(path = "cells.html")]
struct CellsPage {
    frame: Frame,
    title: String,
    back: Link,
    key: String,
    summary: Vec<String>,
    columns: Vec<String>,
    cells: Vec<[String; 4]>,
    json: String,
}

/// The versions that a client compares.
struct Versions {
    older: CatalogPackage,
    newer: CatalogPackage,
    other: String,
}

impl Versions {
    async fn of(app: &App, request: &Request, raw_key: &str) -> Result<Self, Refused> {
        let key = path_decoded(raw_key).ok_or_else(|| Refused::invalid("expected UTF-8 in the path"))?;
        let with = request.query.get("with").filter(|text| !text.is_empty());
        let other = with.ok_or_else(|| Refused::invalid("expected another version in `with`"))?.to_owned();
        let newer = packages::package(app, &key).await?;
        let older = packages::package(app, &other).await?;
        if !packages::is_readable(&newer) || !packages::is_readable(&older) {
            return Err(packages::not_public());
        }
        // In a chain of versions, the order of the request does not count.
        let wanted = newer.clone();
        let chain = app.store.ask(move |catalog| catalog.versions(&wanted)).await?;
        let place = |package: &CatalogPackage| chain.iter().position(|known| known.id == package.id);
        match place(&older) > place(&newer) {
            true => Ok(Self { older: newer, newer: older, other }),
            false => Ok(Self { older, newer, other }),
        }
    }
}

/// Answers with the differences between two versions, as a page or as JSON.
pub(crate) async fn compare(app: &Arc<App>, request: &Request, raw_key: &str) -> Result<Response, Refused> {
    let versions = Versions::of(app, request, raw_key).await?;
    if let Some(path) = request.query.get("file") {
        return cells(app, request, &versions, raw_key, path).await;
    }
    let comparison = compared(app, &versions).await?;
    if request.query.get("format") == Some("json") {
        return Ok(json_answer(&as_json(&versions, &comparison)));
    }
    let base = request.base_url.as_str();
    let number = page_number(request);
    let (old_key, new_key) = (packages::key(&versions.older), packages::key(&versions.newer));
    let other = encoded(&versions.other);
    let own = format!("{base}/compare/{raw_key}?with={other}");
    let start = usize::try_from((number - 1).saturating_mul(PAGE)).unwrap_or(usize::MAX);
    let rows = comparison.differences.iter().skip(start).take(usize::try_from(PAGE).unwrap_or(0));
    let row = |difference: &Difference| {
        let key = if difference.change == Change::Removed { &old_key } else { &new_key };
        let is_small = difference.sizes.0.max(difference.sizes.1) <= Some(LARGEST_TABLE);
        let lower = difference.path.to_ascii_lowercase();
        let is_table = [".csv", ".tsv", ".tab"].iter().any(|end| lower.ends_with(end));
        Row {
            change: difference.change.word(),
            url: format!("{}?view", file_url(base, key, &difference.path)),
            path: difference.path.clone(),
            before: difference.before.clone().unwrap_or_default(),
            old_size: difference.sizes.0.map(bytes).unwrap_or_default(),
            new_size: difference.sizes.1.map(bytes).unwrap_or_default(),
            cells: (difference.change == Change::Changed && is_small && is_table)
                .then(|| format!("{own}&file={}", encoded(&difference.path))),
        }
    };
    let total = comparison.differences.len() as u64;
    let changes = comparison.count(Change::Changed) + comparison.count(Change::Added);
    let page = ComparePage {
        frame: Frame::of(app, request),
        title: "Versions compared".to_owned(),
        older: link(base, &versions.older),
        newer: link(base, &versions.newer),
        counts: Change::ALL
            .iter()
            .map(|change| (super::page::count(comparison.count(*change)), change.word()))
            .collect(),
        same: counted(comparison.same_files, "file is the same", "files are the same"),
        shared: shared(&comparison),
        rows: rows.map(row).collect(),
        paging: Paging::of(&format!("{own}&page="), number, PAGE, total),
        json: format!("{own}&format=json"),
        zip: (changes > 0).then(|| {
            Link::new(
                format!("{base}/zip/{new_key}?since={old_key}"),
                counted(changes, "new or changed file", "new and changed files"),
            )
        }),
    };
    render(&page)
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn link(base: &str, package: &CatalogPackage) -> Link {
    let summary = &package.summary;
    let name = summary.identifier.clone().unwrap_or_else(|| summary.tag.to_string());
    Link::new(page_url(base, package), cut(&name, 120))
}

/// Says how much of the newer version the older one has: rounded down, so only equal content is 100 %.
fn shared(comparison: &Comparison) -> String {
    let percent = u128::from(comparison.same_bytes) * 100 / u128::from(comparison.bytes.max(1));
    format!("{percent} % of the newer version's {} are bytes of the older one", bytes(comparison.bytes))
}

fn json_answer(value: &Value) -> Response {
    let mut response = answer::full(StatusCode::OK, "application/json", value.to_string());
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    response
}

fn as_json(versions: &Versions, comparison: &Comparison) -> Value {
    let list = |change: Change| {
        let of_kind = comparison.differences.iter().filter(move |difference| difference.change == change);
        let entries: Vec<Value> = of_kind
            .map(|difference| {
                let mut entry = json!({ "path": difference.path });
                if let Some(object) = entry.as_object_mut() {
                    let before =
                        difference.before.as_ref().map(|before| ("before".to_owned(), json!(before)));
                    let old = difference.sizes.0.map(|size| ("oldSize".to_owned(), json!(size)));
                    let new = difference.sizes.1.map(|size| ("newSize".to_owned(), json!(size)));
                    object.extend(before.into_iter().chain(old).chain(new));
                }
                entry
            })
            .collect();
        entries
    };
    json!({
        "older": versions.older.summary.digest,
        "newer": versions.newer.summary.digest,
        "same": comparison.same_files,
        "bytes": comparison.bytes,
        "sharedBytes": comparison.same_bytes,
        "changed": list(Change::Changed),
        "moved": list(Change::Moved),
        "added": list(Change::Added),
        "removed": list(Change::Removed)
    })
}

async fn compared(app: &App, versions: &Versions) -> Result<Arc<Comparison>, Refused> {
    let key = format!("{} {}", versions.older.summary.digest, versions.newer.summary.digest);
    if let Some(known) = app.recent.get(&key) {
        return Ok(known);
    }
    let _place = app.limits.tables.acquire().await;
    let (older, newer) = (contents(app, &versions.older).await?, contents(app, &versions.newer).await?);
    let comparison = Arc::new(Comparison::of(&older, &newer));
    app.recent.keep(key, Arc::clone(&comparison), MOST_KEPT);
    Ok(comparison)
}

async fn contents(app: &App, package: &CatalogPackage) -> Result<BTreeMap<String, Content>, Refused> {
    let mut all = BTreeMap::new();
    let selection = Selection::default();
    let mut files = Files::new(app, package, &selection);
    while let Some(page) = files.next().await? {
        all.extend(page.into_iter().map(|file| {
            let content = Content { digest: file.sha256(), size: file.size };
            (file.path, content)
        }));
        if all.len() > MOST_FILES {
            return Err(Refused::new(Kind::TooLarge, "the versions have too many files to compare"));
        }
    }
    Ok(all)
}

/// The differences between the cells of two tables.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cells {
    /// The column whose values name the rows; without one, the number of the row does.
    key: Option<String>,
    added_columns: Vec<String>,
    removed_columns: Vec<String>,
    added_rows: u64,
    removed_rows: u64,
    changed: u64,
    /// Row, column, old and new value of the first changed cells.
    first: Vec<[String; 4]>,
}

impl Cells {
    fn of(older: &Table, newer: &Table) -> Self {
        let names = |table: &Table| -> Vec<String> {
            table.columns.iter().map(|column| column.name.clone()).collect()
        };
        let (old_names, new_names) = (names(older), names(newer));
        let key = old_names.first().filter(|name| new_names.first() == Some(name));
        let (old_rows, new_rows) = (rows_by_key(older), rows_by_key(newer));
        let (key, old_rows, new_rows) = match (key, old_rows, new_rows) {
            (Some(key), Some(old), Some(new)) => (Some(key.clone()), old, new),
            _ => (None, rows_by_number(older), rows_by_number(newer)),
        };
        let mut cells = Self {
            key,
            added_columns: new_names.iter().filter(|name| !old_names.contains(name)).cloned().collect(),
            removed_columns: old_names.iter().filter(|name| !new_names.contains(name)).cloned().collect(),
            ..Self::default()
        };
        let shared: Vec<(usize, usize, &String)> = new_names
            .iter()
            .enumerate()
            .filter_map(|(new, name)| Some((old_names.iter().position(|known| known == name)?, new, name)))
            .collect();
        let by_key: HashMap<&str, &Vec<String>> =
            old_rows.iter().map(|(key, row)| (key.as_str(), *row)).collect();
        let mut found = 0;
        for (row_key, new_row) in &new_rows {
            let Some(old_row) = by_key.get(row_key.as_str()) else {
                cells.added_rows += 1;
                continue;
            };
            found += 1;
            for (old, new, name) in &shared {
                let text = |row: &[String], at: usize| row.get(at).cloned().unwrap_or_default();
                let (before, after) = (text(old_row, *old), text(new_row, *new));
                if before != after {
                    cells.changed += 1;
                    if cells.first.len() < MOST_CELLS {
                        cells.first.push([
                            row_key.clone(),
                            (*name).clone(),
                            cut(&before, 80),
                            cut(&after, 80),
                        ]);
                    }
                }
            }
        }
        cells.removed_rows = (old_rows.len() as u64).saturating_sub(found);
        cells
    }
}

/// Returns the rows with the value of their first cell, if each has another one.
fn rows_by_key(table: &Table) -> Option<Vec<(String, &Vec<String>)>> {
    let mut seen = std::collections::HashSet::new();
    let rows = table.rows.iter().map(|row| {
        let key = row.first().filter(|key| !key.is_empty())?;
        seen.insert(key.clone()).then(|| (key.clone(), row))
    });
    rows.collect()
}

fn rows_by_number(table: &Table) -> Vec<(String, &Vec<String>)> {
    table.rows.iter().zip(1..).map(|(row, number): (_, u64)| (number.to_string(), row)).collect()
}

/// Answers with the changed cells of a table.
async fn cells(
    app: &Arc<App>,
    request: &Request,
    versions: &Versions,
    raw_key: &str,
    path: &str,
) -> Result<Response, Refused> {
    let mut tables = Vec::new();
    for package in [&versions.older, &versions.newer] {
        let (id, wanted) = (package.id, path.to_owned());
        let file = app.store.ask(move |catalog| catalog.file(id, &wanted)).await?;
        let file = file.ok_or_else(|| Refused::not_found("one of the versions has no such file"))?;
        tables.push(table_of(app, package, &file).await?);
    }
    let [older, newer] = tables.as_slice() else { return Err(Refused::not_found("two tables are needed")) };
    let cells = Cells::of(&older.table, &newer.table);
    let base = request.base_url.as_str();
    let back = format!("{base}/compare/{raw_key}?with={}", encoded(&versions.other));
    let own = format!("{back}&file={}&format=json", encoded(path));
    if request.query.get("format") == Some("json") {
        return Ok(json_answer(&json!({
            "path": path,
            "key": cells.key,
            "addedColumns": cells.added_columns,
            "removedColumns": cells.removed_columns,
            "addedRows": cells.added_rows,
            "removedRows": cells.removed_rows,
            "changedCells": cells.changed,
            "cells": cells.first.iter().map(|[row, column, old, new]| {
                json!({ "row": row, "column": column, "old": old, "new": new })
            }).collect::<Vec<_>>()
        })));
    }
    let mut summary = vec![
        counted(cells.changed, "cell changed", "cells changed"),
        counted(cells.added_rows, "row added", "rows added"),
        counted(cells.removed_rows, "row removed", "rows removed"),
    ];
    if cells.changed > cells.first.len() as u64 {
        summary.push(format!("the first {} are listed", cells.first.len()));
    }
    let mut columns: Vec<String> = cells.added_columns.iter().map(|name| format!("{name} is new")).collect();
    columns.extend(cells.removed_columns.iter().map(|name| format!("{name} was removed")));
    render(&CellsPage {
        frame: Frame::of(app, request),
        title: path.to_owned(),
        back: Link::new(back, "All differences of the versions"),
        key: cells.key.unwrap_or_else(|| "Row".to_owned()),
        summary,
        columns,
        cells: cells.first,
        json: own,
    })
}

async fn table_of(
    app: &App,
    package: &CatalogPackage,
    file: &CatalogFile,
) -> Result<Arc<table::Loaded>, Refused> {
    let described = table::described(app, package, file).await?;
    let entity = described.as_ref().map(|(entity, _)| entity);
    if !table::is_table(file, entity) || file.size > LARGEST_TABLE {
        let text = format!("expected tables of at most {}", bytes(LARGEST_TABLE));
        return Err(Refused::new(Kind::TooLarge, text));
    }
    let loaded = table::load(app, file, entity, Wanted { rows: 0..MOST_ROWS, ..Wanted::default() }).await?;
    let is_all = !loaded.table.is_cut && (loaded.table.is_complete || loaded.table.count < MOST_ROWS);
    match is_all {
        true => Ok(loaded),
        false => {
            let text = format!("expected tables of fewer than {MOST_ROWS} rows");
            Err(Refused::new(Kind::TooLarge, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Change, Comparison, Content};

    fn version(files: &[(&str, u8)]) -> BTreeMap<String, Content> {
        let content = |number: u8| Content { digest: Some([number; 32]), size: 10 };
        files.iter().map(|(path, number)| ((*path).to_owned(), content(*number))).collect()
    }

    #[test]
    fn files_are_compared_by_content() {
        let older = version(&[("same", 1), ("old name", 2), ("edited", 3), ("gone", 4), ("copied", 5)]);
        let newer =
            version(&[("same", 1), ("new name", 2), ("edited", 6), ("fresh", 7), ("copied", 5), ("copy", 5)]);
        let comparison = Comparison::of(&older, &newer);
        let changes: Vec<(Change, &str)> =
            comparison.differences.iter().map(|found| (found.change, found.path.as_str())).collect();
        let expected = [
            (Change::Changed, "edited"),
            (Change::Moved, "new name"),
            (Change::Added, "copy"),
            (Change::Added, "fresh"),
            (Change::Removed, "gone"),
        ];
        assert_eq!(changes, expected);
        assert_eq!((comparison.same_files, comparison.bytes, comparison.same_bytes), (2, 60, 40));
        assert_eq!(comparison.differences[1].before.as_deref(), Some("old name"));
        assert!(Comparison::of(&newer, &newer).differences.is_empty());
    }

    #[test]
    fn swapped_files_are_changed_and_not_moved() {
        let swapped = Comparison::of(&version(&[("a", 1), ("b", 2)]), &version(&[("a", 2), ("b", 1)]));
        assert_eq!(swapped.count(Change::Changed), 2);
        assert_eq!(swapped.same_bytes, 20);
    }
}

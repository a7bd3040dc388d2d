//! The metadata of a table compared with its data: columns, types, counts, bounds, codes, size and checksum.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use d1_catalog::d1_metadata::Entity;
use d1_catalog::{CatalogFile, CatalogPackage};
use multi_digest::Algorithm;
use serde::Serialize;
use serde_json::json;

use super::scan::{Column, Kind, Oddity, Table, Wanted, is_same_name};
use super::{described, is_table, load};
use crate::answer::{self, Refused, set};
use crate::app::App;
use crate::file_answer::REVALIDATE;
use crate::request::Request;

/// The most findings of one table.
const MOST_FINDINGS: usize = 200;

/// One statement of the metadata, compared with the data.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    /// Whether the data agree.
    pub(crate) agrees: bool,
    /// The statement.
    pub(crate) statement: String,
    /// The data.
    pub(crate) found: String,
}

impl Finding {
    fn new(agrees: bool, statement: impl Into<String>, found: impl Into<String>) -> Self {
        Self { agrees, statement: statement.into(), found: found.into() }
    }
}

/// Compares the description of a table with a complete scan of it.
pub(crate) fn findings(entity: &Entity, file: &CatalogFile, table: &Table) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(size) = entity.size {
        findings.push(Finding::new(
            size == file.size,
            format!("{size} bytes"),
            format!("{} bytes", file.size),
        ));
    }
    findings.extend(checksum(entity, file));
    if let Some(records) = entity.records.filter(|_| table.is_complete) {
        let found = format!("{} rows", table.count);
        findings.push(Finding::new(records == table.count, format!("{records} rows"), found));
    }
    findings.extend(columns(entity, table));
    if let Some((count, first)) = table.ragged {
        let found = format!("{count} rows with another number of fields, the first is row {}", first + 1);
        findings.push(Finding::new(false, format!("each row has {} fields", table.columns.len()), found));
    }
    for column in &table.columns {
        findings.extend(values(column));
    }
    findings.truncate(MOST_FINDINGS);
    findings
}

fn checksum(entity: &Entity, file: &CatalogFile) -> Option<Finding> {
    let (method, value) = entity.checksum.as_ref()?;
    let algorithm: Algorithm = method.to_ascii_lowercase().replace('-', "").parse().ok()?;
    let known = hex::encode(file.digests.get(algorithm)?);
    Some(Finding::new(known.eq_ignore_ascii_case(value.trim()), format!("{method} {}", value.trim()), known))
}

fn columns(entity: &Entity, table: &Table) -> Vec<Finding> {
    if entity.attributes.is_empty() {
        return Vec::new();
    }
    let declared: Vec<&str> = entity.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
    let statement = format!("{} columns", declared.len());
    if table.names.is_empty() {
        let same = declared.len() == table.columns.len();
        return vec![Finding::new(same, statement, format!("{} columns without names", table.columns.len()))];
    }
    let is_in = |name: &str, list: &[&str]| list.iter().any(|known| is_same_name(known, name));
    let actual: Vec<&str> = table.names.iter().map(String::as_str).collect();
    let missing: Vec<&str> = declared.iter().copied().filter(|name| !is_in(name, &actual)).collect();
    let extra: Vec<&str> = actual.iter().copied().filter(|name| !is_in(name, &declared)).collect();
    let mut findings =
        vec![Finding::new(declared.len() == actual.len(), statement, format!("{} columns", actual.len()))];
    if !missing.is_empty() {
        findings.push(Finding::new(false, format!("columns {}", listed(&missing)), "not in the table"));
    }
    if !extra.is_empty() {
        findings.push(Finding::new(false, "no such columns", format!("columns {}", listed(&extra))));
    }
    let same_order = declared.iter().zip(&actual).all(|(left, right)| is_same_name(left, right));
    if missing.is_empty() && extra.is_empty() {
        let found = if same_order { "the same order" } else { "another order" };
        findings.push(Finding::new(same_order, "names and order of the columns", found));
    }
    findings
}

fn listed(names: &[&str]) -> String {
    let first: Vec<String> = names.iter().take(10).map(|name| format!("“{name}”")).collect();
    let more = if names.len() > 10 { format!(" and {} more", names.len() - 10) } else { String::new() };
    first.join(", ") + &more
}

fn values(column: &Column) -> Vec<Finding> {
    let Some(attribute) = &column.attribute else { return Vec::new() };
    let name = &column.name;
    let mut findings = Vec::new();
    let mut add = |oddity: &Oddity, statement: String, good: String| {
        findings.push(match &oddity.first {
            None => Finding::new(true, statement, good),
            Some((row, text)) => Finding::new(
                false,
                statement,
                format!("{} values differ, the first is “{text}” in row {}", oddity.count, row + 1),
            ),
        });
    };
    match column.kind() {
        Kind::Number => {
            add(&column.unreadable, format!("{name}: numbers"), format!("{} numbers", column.numbers))
        }
        Kind::Time => {
            let format = attribute.date_format.as_deref().unwrap_or_default();
            add(&column.unreadable, format!("{name}: times as {format}"), format!("{} times", column.times));
        }
        Kind::Text => {}
    }
    if attribute.minimum.is_some() || attribute.maximum.is_some() {
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "any".to_owned());
        let statement = format!("{name}: from {} to {}", side(&attribute.minimum), side(&attribute.maximum));
        add(&column.outside, statement, "all values".to_owned());
    }
    if !attribute.codes.is_empty() {
        let statement = format!("{name}: one of {} codes", attribute.codes.len());
        add(&column.unknown, statement, "all values".to_owned());
    }
    findings
}

/// Answers with the comparison of a table's metadata with its data, as JSON.
pub(crate) async fn check(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    file: &CatalogFile,
) -> Result<Response, Refused> {
    let described = described(app, package, file).await?;
    let Some((entity, sign)) = described.filter(|(entity, _)| is_table(file, Some(entity))) else {
        return Err(Refused::not_found("no metadata of the package describe this file as a table"));
    };
    let loaded = load(app, file, Some(&entity), Wanted { facts: true, ..Wanted::default() }).await?;
    let findings = findings(&entity, file, &loaded.table);
    let document = json!({
        "path": file.path,
        "sha256": file.sha256().map(hex::encode),
        "url": format!("{}/{}", request.base_url, request.path),
        "describedBy": { "name": entity.name, "recognizedBy": sign.in_words() },
        "rows": loaded.table.count,
        "complete": loaded.table.is_complete,
        "agrees": findings.iter().all(|finding| finding.agrees),
        "findings": findings
    });
    let mut response = answer::full(StatusCode::OK, "application/json", document.to_string());
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    Ok(response)
}

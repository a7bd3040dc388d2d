//! Tables: parts of them by URL, facts about their columns, plots, and their metadata compared with their data.

mod bins;
mod check;
mod dialect;
mod moment;
mod plot;
mod scan;

pub(crate) use check::{Finding, check, findings};
pub(crate) use plot::{Drawn, distribution, line, value_in_words};
use scan::ScanError;
pub(crate) use scan::{Column, Kind, Table, Wanted};

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ETAG, LINK};
use axum::response::Response;
use bytes::{Buf, Bytes};
use d1_catalog::d1_metadata::Entity;
use d1_catalog::{CatalogFile, CatalogPackage};
use d1_transfer::parts::run_blocking;
use oci_model::Digest;
use serde_json::{Value, json};

use self::dialect::Dialect;
use self::scan::MOST_ROWS;
use super::entities::{Entities, Sign};
use crate::answer::{self, Kind as Refusal, Refused, set, set_disposition};
use crate::app::App;
use crate::content::ContentStream;
use crate::file_answer::{IMMUTABLE, REVALIDATE};
use crate::packages::{self, file_url};
use crate::representation::{Selected, Validators, select};
use crate::request::{Request, path_decoded};

/// The largest part of a table that is read for a page or a slice, in bytes.
const LARGEST_READ: u64 = 128 << 20;
/// How many results are kept, of tables with at most this many columns.
const MOST_KEPT: usize = 32;
const MOST_KEPT_COLUMNS: usize = 100;
/// How many rows a slice has if the client does not say.
const ROWS: u64 = 1000;

/// A table that was read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) table: Table,
    /// Whether the whole file was read and has the right digest.
    pub(crate) is_verified: bool,
}

/// A description of a file, and the sign by which it was found.
pub(crate) type Described = Option<(Entity, Sign)>;

/// Returns the description of a file in the metadata of its package, if everybody may read them.
pub(crate) async fn described(
    app: &App,
    package: &CatalogPackage,
    file: &CatalogFile,
) -> Result<Described, Refused> {
    if !packages::is_readable(package) {
        return Ok(None);
    }
    let (id, file) = (package.id, file.clone());
    let asked = app.store.ask(move |catalog| {
        let documents = catalog.science_metadata(id)?;
        Ok(documents.iter().find_map(|stored| {
            Entities::of(&stored.metadata).find(&file).map(|(entity, sign)| (entity.clone(), sign))
        }))
    });
    asked.await
}

/// Returns whether a file is a table of text.
pub(crate) fn is_table(file: &CatalogFile, entity: Option<&Entity>) -> bool {
    let essence = file.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_described = entity.is_some_and(|entity| entity.csv.is_some() && !entity.attributes.is_empty());
    let is_plain = ["text/plain", "application/octet-stream"].contains(&essence.as_str());
    ["text/csv", "text/tab-separated-values"].contains(&essence.as_str()) || (is_plain && is_described)
}

/// Reads a table, or a part of it.
pub(crate) async fn load(
    app: &App,
    file: &CatalogFile,
    entity: Option<&Entity>,
    wanted: Wanted,
) -> Result<Arc<Loaded>, Refused> {
    let mut hasher = DefaultHasher::new();
    (file.manifest.as_str(), &file.path, file.sha256(), &wanted).hash(&mut hasher);
    serde_json::to_string(&entity).unwrap_or_default().hash(&mut hasher);
    let key = format!("{:016x}", hasher.finish());
    if let Some(known) = app.recent.get(&key) {
        return Ok(known);
    }
    let _place = app.limits.tables.acquire().await;
    let is_whole = file.size <= LARGEST_READ;
    let stream = app.store.read(file, 0..file.size.min(LARGEST_READ)).await?;
    let (entity, media_type) = (entity.cloned(), file.media_type.clone());
    let keeps = wanted.facts;
    let scanned = run_blocking(move || {
        let mut input = StreamReader::new(stream);
        let sample = input.peek()?;
        let declared = entity.as_ref().and_then(|entity| entity.csv.as_ref());
        let dialect = Dialect::of(declared, &media_type, &sample);
        scan::scan(input, &dialect, entity.as_ref(), &wanted, is_whole)
    });
    let table = scanned.await.map_err(|error| refused(app, &error))?;
    let is_verified = table.is_complete && file.sha256().is_some();
    if let (true, Some(sha256)) = (is_verified, file.sha256()) {
        super::proof::note(app, &sha256);
    }
    let loaded = Arc::new(Loaded { table, is_verified });
    if keeps && loaded.table.columns.len() <= MOST_KEPT_COLUMNS && loaded.table.rows.len() <= 100 {
        app.recent.keep(key, Arc::clone(&loaded), MOST_KEPT);
    }
    Ok(loaded)
}

fn refused(app: &App, error: &ScanError) -> Refused {
    match error {
        ScanError::UnknownColumn(_) => Refused::invalid(error.to_string()),
        ScanError::Encoding => Refused::new(Refusal::NotImplemented, error.to_string()),
        ScanError::Read(source) => {
            let failed =
                source.get_ref().and_then(|inner| inner.downcast_ref::<crate::content::ContentError>());
            match failed {
                Some(failed) => app.store.content_failed(failed),
                None => Refused::new(Refusal::ServiceFailure, "the table cannot be read"),
            }
        }
    }
}

/// Reads content that comes in chunks. It blocks, so it belongs to a blocking thread.
pub(crate) struct StreamReader {
    stream: ContentStream,
    chunk: Bytes,
}

impl StreamReader {
    pub(crate) fn new(stream: ContentStream) -> Self {
        Self { stream, chunk: Bytes::new() }
    }

    /// Returns the first chunk without taking it.
    pub(crate) fn peek(&mut self) -> io::Result<Bytes> {
        self.fill()?;
        Ok(self.chunk.clone())
    }

    fn fill(&mut self) -> io::Result<()> {
        while self.chunk.is_empty() {
            match self.stream.blocking_recv() {
                None => return Ok(()),
                Some(chunk) => self.chunk = chunk.map_err(io::Error::other)?,
            }
        }
        Ok(())
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let count = self.chunk.len().min(buffer.len());
        self.chunk.split_to(count).copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Returns the rows of a text such as `101-200`, from 0. The numbers of rows begin with 1.
pub(crate) fn row_range(text: &str) -> Option<std::ops::Range<u64>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (first >= 1 && first <= last && last <= 1 << 40).then(|| first - 1..last)
}

/// Returns the names of columns in a request: `cols=a,b`, or `cols` several times for names with commas.
pub(crate) fn column_names(request: &Request, parameter: &str) -> Vec<String> {
    let values: Vec<&str> = request.query.all(parameter).filter(|value| !value.is_empty()).collect();
    match values.as_slice() {
        [one] => one.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
        several => several.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// Answers with a part of a table: some columns and rows as CSV or JSON, or a plot as SVG.
pub(crate) async fn slice(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    file: &CatalogFile,
) -> Result<Response, Refused> {
    let wrong = |text: String| Refused::invalid(text);
    let format = request.query.get("format").unwrap_or("csv");
    if !["csv", "json", "svg"].contains(&format) {
        return Err(wrong("expected csv, json or svg in `format`".to_owned()));
    }
    let described = described(app, package, file).await?;
    let entity = described.as_ref().map(|(entity, _)| entity);
    if !is_table(file, entity) {
        return Err(wrong("expected a table: rows and columns of other files are not known".to_owned()));
    }
    let columns = column_names(request, "cols");
    let rows = request.query.get("rows").filter(|text| !text.is_empty());
    let rows = match rows {
        None => 0..ROWS,
        Some(text) => {
            row_range(text).ok_or_else(|| wrong("expected rows such as 1-1000 in `rows`".to_owned()))?
        }
    };
    if rows.end - rows.start > MOST_ROWS {
        return Err(wrong(format!("expected at most {MOST_ROWS} rows in `rows`")));
    }
    let is_plot = format == "svg";
    // The same column twice is the distribution of this column.
    let columns = match columns.as_slice() {
        [one, two] if is_plot && one == two => vec![one.clone()],
        _ => columns,
    };
    let name = format!("{}\n{}\n{rows:?}\n{columns:?}\n{format}", file.manifest, file.path);
    let etag = format!("\"slice-{}\"", Digest::sha256_of(name.as_bytes()).encoded());
    let is_pinned = path_decoded(key).is_some_and(|key| key.parse::<Digest>().is_ok());
    let mut headers = axum::http::HeaderMap::new();
    set(&mut headers, ETAG, &etag);
    set(&mut headers, CACHE_CONTROL, if is_pinned { IMMUTABLE } else { REVALIDATE });
    let url = file_url(&request.base_url, key, &file.path);
    set(&mut headers, LINK, &format!("<{url}>; rel=\"canonical\""));
    if select(request, &Validators { etag, modified: None, size: None }) == Selected::NotModified {
        return Ok(answer::without_body(StatusCode::NOT_MODIFIED, &headers));
    }
    let plotted = if is_plot { columns.clone() } else { Vec::new() };
    let columns = if is_plot { Vec::new() } else { columns };
    let rows = if is_plot { 0..0 } else { rows };
    let wanted = Wanted { rows, columns, plot: is_plot, plotted: plotted.clone(), facts: is_plot };
    let loaded = load(app, file, entity, wanted).await?;
    let (media_type, text) = match format {
        "csv" => ("text/csv; charset=utf-8", as_csv(&loaded.table)?),
        "json" => ("application/json", as_json(&loaded, file, &url).to_string()),
        _ => ("image/svg+xml", as_plot(&loaded.table, &plotted)?.svg),
    };
    let mut response = answer::full(StatusCode::OK, media_type, text);
    let stem = file.name().rsplit_once('.').map_or(file.name(), |(stem, _)| stem);
    set_disposition(&mut headers, "inline", &format!("{stem}-part.{format}"));
    response.headers_mut().extend(headers);
    Ok(response)
}

/// Draws the plot that a client wants: of two columns, of one, or the usual one.
pub(crate) fn as_plot(table: &Table, plotted: &[String]) -> Result<Drawn, Refused> {
    let drawn = match (&table.plot, plotted) {
        (Some(plot), _) => {
            let column = |position: usize| table.columns.get(position);
            column(plot.x).zip(column(plot.y)).and_then(|(x, y)| line(plot, x, y))
        }
        (None, [name]) => {
            let found = table.columns.iter().find(|column| scan::is_same_name(&column.name, name));
            found.and_then(distribution)
        }
        _ => None,
    };
    drawn.ok_or_else(|| Refused::invalid("expected one or two columns with values in `cols`"))
}

fn as_csv(table: &Table) -> Result<String, Refused> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = table.shown.iter().filter_map(|at| table.columns.get(*at)).map(|column| &column.name);
    let failed = |_| Refused::new(Refusal::ServiceFailure, "the rows cannot be written");
    writer.write_record(names).map_err(failed)?;
    for row in &table.rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().unwrap_or_default();
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

fn as_json(loaded: &Loaded, file: &CatalogFile, url: &str) -> Value {
    let table = &loaded.table;
    let shown: Vec<&Column> = table.shown.iter().filter_map(|at| table.columns.get(*at)).collect();
    let is_number: Vec<bool> = shown
        .iter()
        .map(|column| column.attribute.as_ref().is_none_or(|known| known.number_type.is_some()))
        .collect();
    let cell = |(text, is_number): (&String, &bool)| {
        // Numbers that JSON would write in another way stay texts.
        let number = serde_json::from_str::<Value>(text).ok().filter(Value::is_number);
        match number.filter(|_| *is_number).map(|number| (number.to_string(), number)) {
            Some((written, number)) if written == *text => number,
            _ => json!(text),
        }
    };
    let columns: Vec<Value> = shown
        .iter()
        .map(|column| {
            let known = column.attribute.as_ref();
            json!({
                "name": column.name,
                "label": known.and_then(|known| known.label.as_ref()),
                "definition": known.and_then(|known| known.definition.as_ref()),
                "unit": known.and_then(|known| known.unit.as_ref()),
                "missing": known.map(|known| &known.missing)
            })
        })
        .collect();
    let data: Vec<Vec<Value>> =
        table.rows.iter().map(|row| row.iter().zip(&is_number).map(cell).collect()).collect();
    json!({
        "source": {
            "url": url,
            "path": file.path,
            "sha256": file.sha256().map(hex::encode),
            "verified": loaded.is_verified
        },
        "columns": columns,
        "firstRow": table.first + 1,
        "rowsOfTable": table.is_complete.then_some(table.count),
        "cut": table.is_cut,
        "data": data
    })
}

#[cfg(test)]
mod tests {
    use super::row_range;

    #[test]
    fn rows_are_counted_from_one() {
        assert_eq!(row_range("1-100"), Some(0..100));
        assert_eq!(row_range("7"), Some(6..7));
        for wrong in ["0-3", "5-4", "", "-", "a-b", "1-99999999999999999999", "1-2-3"] {
            assert_eq!(row_range(wrong), None, "{wrong}");
        }
    }
}

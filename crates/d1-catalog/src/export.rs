//! The content of a catalogue as tables for other programs.

use std::io::{self, Write};

use d1_metadata::ScienceMetadata;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde::{Serialize, Serializer};
use serde_json::Value;

#[cfg(feature = "parquet")]
use crate::columns::{ColumnTable, ColumnType};
use crate::error::{Error, Result};
use crate::records::decompressed;
use crate::store::Catalog;

/// A table of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExportTable {
    /// One row for each artifact.
    Packages,
    /// One row for each object, with the facts of its newest system metadata.
    Objects,
    /// One row for each file of each artifact.
    Files,
    /// One row for each science metadata document.
    Documents,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExportForm {
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// One JSON object a line. Documents have their whole content.
    JsonLines,
    /// Apache Parquet with typed columns, compressed by Snappy. Documents have the columns of CSV, and their whole content as JSON.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl ExportTable {
    /// All tables.
    pub const ALL: [Self; 4] = [Self::Packages, Self::Objects, Self::Files, Self::Documents];

    /// Returns the name, such as `packages`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Objects => "objects",
            Self::Files => "files",
            Self::Documents => "documents",
        }
    }

    /// Returns the query. Columns whose names end in `?` are true or false, those that end in `@` are times, and those that end in `#` are
    /// whole numbers.
    fn sql(self) -> String {
        let digest = "CASE typeof(artifact.digest) WHEN 'blob' THEN 'sha256:' || lower(hex(artifact.digest)) \
                      ELSE artifact.digest END AS digest";
        let path =
            "CASE directory.path WHEN '' THEN file.name ELSE directory.path || '/' || file.name END AS path";
        match self {
            Self::Packages => format!(
                "SELECT repository.name AS repository, {digest}, artifact.tag AS tag, \
                 CASE artifact.kind WHEN 0 THEN 'package' WHEN 1 THEN 'object' WHEN 2 THEN 'index' ELSE 'artifact' END AS kind, \
                 type.value AS artifact_type, artifact.identifier AS identifier, artifact.resource_map AS resource_map, \
                 artifact.series AS series_id, artifact.obsoletes AS obsoletes, artifact.obsoleted_by AS obsoleted_by, \
                 artifact.title AS title, format.value AS format_id, artifact.created AS created, \
                 artifact.stored_bytes AS 'stored_bytes#', artifact.files AS 'files#', artifact.bytes AS 'bytes#', \
                 artifact.archived AS 'archived?', artifact.hidden = 0 AS 'public?', artifact.license AS license \
                 FROM artifact JOIN repository ON repository.id = artifact.repository \
                 LEFT JOIN term AS type ON type.id = artifact.artifact_type \
                 LEFT JOIN term AS format ON format.id = artifact.format ORDER BY artifact.id"
            ),
            Self::Objects => format!(
                "SELECT object.identifier AS identifier, repository.name AS repository, {digest}, {path}, file.size AS 'size#', \
                 lower(hex(file.sha256)) AS sha256, format.value AS format_id, facts.series AS series_id, \
                 facts.obsoletes AS obsoletes, facts.obsoleted_by AS obsoleted_by, object.public AS 'public?', \
                 facts.archived AS 'archived?', facts.uploaded AS 'date_uploaded@', facts.modified AS 'date_modified@', \
                 algorithm.value AS checksum_algorithm, facts.checksum AS checksum, submitter.value AS submitter, \
                 holder.value AS rights_holder, speaker.value AS authoritative_node \
                 FROM object JOIN file ON file.id = object.file JOIN directory ON directory.id = file.directory \
                 JOIN artifact ON artifact.id = directory.artifact JOIN repository ON repository.id = artifact.repository \
                 LEFT JOIN system_metadata AS facts ON facts.file = file.id \
                 LEFT JOIN term AS format ON format.id = object.format \
                 LEFT JOIN term AS algorithm ON algorithm.id = facts.algorithm \
                 LEFT JOIN term AS submitter ON submitter.id = facts.submitter \
                 LEFT JOIN term AS holder ON holder.id = facts.rights_holder \
                 LEFT JOIN term AS speaker ON speaker.id = facts.authoritative ORDER BY object.id"
            ),
            Self::Files => format!(
                "SELECT repository.name AS repository, {digest}, {path}, file.size AS 'size#', media.value AS media_type, \
                 lower(hex(file.sha256)) AS sha256, object.identifier AS identifier, format.value AS format_id \
                 FROM file JOIN directory ON directory.id = file.directory JOIN artifact ON artifact.id = directory.artifact \
                 JOIN repository ON repository.id = artifact.repository JOIN term AS media ON media.id = file.media_type \
                 LEFT JOIN object ON object.id = file.object LEFT JOIN term AS format ON format.id = file.format \
                 ORDER BY file.id"
            ),
            Self::Documents => format!(
                "SELECT repository.name AS repository, {digest}, {path}, object.identifier AS identifier, \
                 record.content AS content FROM record JOIN artifact ON artifact.id = record.artifact \
                 JOIN repository ON repository.id = artifact.repository LEFT JOIN file ON file.id = record.file \
                 LEFT JOIN directory ON directory.id = file.directory LEFT JOIN object ON object.id = file.object \
                 ORDER BY record.id"
            ),
        }
    }
}

/// Columns of documents in a form without lists.
const DOCUMENT_COLUMNS: [&str; 16] = [
    "format",
    "title",
    "creators",
    "orcids",
    "publisher",
    "published",
    "abstract",
    "keywords",
    "taxa",
    "west",
    "south",
    "east",
    "north",
    "begin",
    "end",
    "license",
];

impl ExportForm {
    fn writes_times_as_text(self) -> bool {
        matches!(self, Self::Csv | Self::JsonLines)
    }
}

impl Catalog {
    /// Writes a table and returns the number of its rows.
    ///
    /// # Errors
    ///
    /// If the catalogue cannot be read or `output` fails. The output is incomplete then.
    pub fn export(&self, table: ExportTable, form: ExportForm, mut output: impl Write + Send) -> Result<u64> {
        let written =
            self.read("export", |connection| Ok(write_rows(connection, table, form, &mut output)))?;
        written.map_err(|error| match error {
            Failed::Sql(error) => crate::store::failed(self.path(), "export", error),
            Failed::Output(error) => Error::Catalog {
                operation: "export",
                path: self.path().to_owned(),
                is_busy: false,
                source: Box::new(error),
            },
        })
    }
}

enum Failed {
    Sql(rusqlite::Error),
    Output(io::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(feature = "parquet")]
impl From<parquet::errors::ParquetError> for Failed {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Output(io::Error::other(error))
    }
}

fn write_rows(
    connection: &Connection,
    table: ExportTable,
    form: ExportForm,
    output: &mut (impl Write + Send),
) -> Result<u64, Failed> {
    let mut statement = connection.prepare(&table.sql())?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut writer = RowWriter::new(table, form, &columns, output)?;
    let mut rows = statement.query([])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        writer.write(object(row, &columns, form)?)?;
        count += 1;
    }
    writer.finish()?;
    Ok(count)
}

enum RowWriter<'a, W: Write + Send> {
    Csv(&'a mut W),
    JsonLines(&'a mut W),
    #[cfg(feature = "parquet")]
    Parquet(Box<ColumnTable<&'a mut W>>),
}

impl<'a, W: Write + Send> RowWriter<'a, W> {
    fn new(
        table: ExportTable,
        form: ExportForm,
        columns: &[String],
        output: &'a mut W,
    ) -> Result<Self, Failed> {
        let columns = columns.iter().map(String::as_str).filter(|name| *name != "content");
        let documents = (table == ExportTable::Documents).then_some(DOCUMENT_COLUMNS).into_iter().flatten();
        Ok(match form {
            ExportForm::Csv => {
                write_line(output, columns.map(plain).chain(documents).map(str::to_owned))?;
                Self::Csv(output)
            }
            ExportForm::JsonLines => Self::JsonLines(output),
            #[cfg(feature = "parquet")]
            ExportForm::Parquet => {
                let metadata = (table == ExportTable::Documents).then_some("metadata");
                let columns = columns.chain(documents).chain(metadata);
                let columns: Vec<_> = columns.map(|name| (plain(name), column_type(name))).collect();
                Self::Parquet(Box::new(ColumnTable::new(output, &columns)?))
            }
        })
    }

    fn write(&mut self, row: Fields) -> Result<(), Failed> {
        match self {
            Self::Csv(output) => {
                let texts = row.0.iter().map(|(_, value)| match value {
                    Value::Null => String::new(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                write_line(output, texts)?;
            }
            Self::JsonLines(output) => {
                serde_json::to_writer(&mut *output, &row).map_err(io::Error::from)?;
                output.write_all(b"\n")?;
            }
            #[cfg(feature = "parquet")]
            Self::Parquet(table) => table.add(row.0.into_iter().map(|(_, value)| value))?,
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failed> {
        match self {
            Self::Csv(output) | Self::JsonLines(output) => output.flush()?,
            #[cfg(feature = "parquet")]
            Self::Parquet(table) => table.finish()?,
        }
        Ok(())
    }
}

/// Returns the type of a column in a form with types.
#[cfg(feature = "parquet")]
fn column_type(column: &str) -> ColumnType {
    match column {
        "west" | "south" | "east" | "north" => ColumnType::Number,
        "metadata" => ColumnType::Json,
        _ if column.ends_with('?') => ColumnType::Boolean,
        _ if column.ends_with('@') => ColumnType::Time,
        _ if column.ends_with('#') => ColumnType::Integer,
        _ => ColumnType::Text,
    }
}

/// The fields of a row, in the order of the columns.
#[derive(Default)]
struct Fields(Vec<(String, Value)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn plain(column: &str) -> &str {
    column.trim_end_matches(['?', '@', '#'])
}

/// Returns a row as an object, with its columns in order.
fn object(row: &Row<'_>, columns: &[String], form: ExportForm) -> rusqlite::Result<Fields> {
    let mut object = Fields::default();
    for (position, column) in columns.iter().enumerate() {
        let value = row.get_ref(position)?;
        if let (ValueRef::Blob(content), "content") = (value, column.as_str()) {
            add_document(&mut object, content, form);
            continue;
        }
        let value = match value {
            ValueRef::Integer(number) if column.ends_with('?') => (number != 0).into(),
            ValueRef::Integer(number) if column.ends_with('@') && form.writes_times_as_text() => {
                let time = jiff::Timestamp::from_millisecond(number);
                time.map_or(Value::Null, |time| time.to_string().into())
            }
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
            ValueRef::Null | ValueRef::Blob(_) => Value::Null,
        };
        object.0.push((plain(column).to_owned(), value));
    }
    Ok(object)
}

fn add_document(object: &mut Fields, content: &[u8], form: ExportForm) {
    let metadata = decompressed(content);
    if form != ExportForm::JsonLines {
        add_columns(object, &metadata);
    }
    if form != ExportForm::Csv {
        object.0.push(("metadata".to_owned(), serde_json::to_value(&metadata).unwrap_or_default()));
    }
}

/// Adds what a form without lists has of a document.
fn add_columns(object: &mut Fields, metadata: &ScienceMetadata) {
    let joined = |texts: Vec<&str>| Value::from(texts.join("; "));
    let optional = |text: &Option<String>| text.clone().map_or(Value::Null, Value::from);
    let creators = metadata.creators.iter();
    let place = metadata.boxes.first();
    let corner =
        |of: fn(&d1_metadata::BoundingBox) -> f64| place.map_or(Value::Null, |place| of(place).into());
    let period = metadata.periods.first().cloned().unwrap_or_default();
    let format = serde_json::to_value(metadata.format).unwrap_or_default();
    let values = [
        format,
        optional(&metadata.title),
        joined(creators.clone().map(|creator| creator.name.as_str()).collect()),
        joined(creators.filter_map(|creator| creator.orcid.as_deref()).collect()),
        optional(&metadata.publisher),
        optional(&metadata.published),
        optional(&metadata.r#abstract),
        joined(metadata.keywords.iter().map(String::as_str).collect()),
        joined(metadata.taxa.iter().map(|taxon| taxon.name.as_str()).collect()),
        corner(|place| place.west),
        corner(|place| place.south),
        corner(|place| place.east),
        corner(|place| place.north),
        optional(&period.begin),
        optional(&period.end),
        optional(&metadata.license_url.clone().or_else(|| metadata.license.clone())),
    ];
    for (name, value) in DOCUMENT_COLUMNS.into_iter().zip(values) {
        object.0.push((name.to_owned(), value));
    }
}

/// Writes a line of RFC 4180.
fn write_line(output: &mut impl Write, fields: impl Iterator<Item = String>) -> io::Result<()> {
    for (number, field) in fields.enumerate() {
        if number > 0 {
            output.write_all(b",")?;
        }
        if field.contains(['"', ',', '\n', '\r']) {
            write!(output, "\"{}\"", field.replace('"', "\"\""))?;
        } else {
            output.write_all(field.as_bytes())?;
        }
    }
    output.write_all(b"\r\n")
}

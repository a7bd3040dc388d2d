//! A table as an Apache Parquet file, row by row.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde_json::Value;

/// The rows of a row group, at most. A row group is in memory until it is written.
const ROWS_OF_GROUP: usize = 16_384;

/// The bytes of texts after which a row group is written, although it has fewer rows.
const BYTES_OF_GROUP: usize = 16 * 1024 * 1024;

/// The type of a column. Each column can be empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// UTF-8.
    Text,
    /// A JSON document.
    Json,
    /// A whole number of 64 bits.
    Integer,
    /// A number with a fraction.
    Number,
    /// True or false.
    Boolean,
    /// Milliseconds since 1970 in UTC.
    Time,
}

impl ColumnType {
    fn field(self, name: &str) -> Result<Type> {
        let (physical, logical) = match self {
            Self::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::Json)),
            Self::Integer => (PhysicalType::INT64, None),
            Self::Number => (PhysicalType::DOUBLE, None),
            Self::Boolean => (PhysicalType::BOOLEAN, None),
            Self::Time => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS))),
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .build()
    }

    fn values(self) -> Values {
        match self {
            Self::Text | Self::Json => Values::Texts(Vec::new()),
            Self::Integer | Self::Time => Values::Integers(Vec::new()),
            Self::Number => Values::Numbers(Vec::new()),
            Self::Boolean => Values::Booleans(Vec::new()),
        }
    }
}

/// Writes rows as a file of row groups.
pub(crate) struct ColumnTable<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    most_rows: usize,
    most_bytes: usize,
}

impl<W: Write + Send> ColumnTable<W> {
    /// Begins a file.
    pub(crate) fn new(output: W, columns: &[(&str, ColumnType)]) -> Result<Self> {
        let fields = columns.iter().map(|(name, kind)| kind.field(name).map(Arc::new));
        let schema =
            Type::group_type_builder("schema").with_fields(fields.collect::<Result<_>>()?).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .build();
        Ok(Self {
            writer: SerializedFileWriter::new(output, Arc::new(schema), Arc::new(properties))?,
            columns: columns.iter().map(|(_, kind)| Column::new(kind.values())).collect(),
            rows: 0,
            bytes: 0,
            most_rows: ROWS_OF_GROUP,
            most_bytes: BYTES_OF_GROUP,
        })
    }

    /// Adds a row. A value of another type than its column, and a missing one, is written as null.
    pub(crate) fn add(&mut self, row: impl IntoIterator<Item = Value>) -> Result<()> {
        let mut row = row.into_iter();
        for column in &mut self.columns {
            self.bytes += column.add(row.next().unwrap_or_default());
        }
        self.rows += 1;
        if self.rows >= self.most_rows || self.bytes >= self.most_bytes {
            self.write_group()?;
        }
        Ok(())
    }

    /// Writes the last rows and the footer.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.write_group()?;
        }
        self.writer.finish().map(drop)
    }

    fn write_group(&mut self) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            // The schema has as many columns.
            let Some(mut writer) = group.next_column()? else { break };
            column.write(&mut writer)?;
            writer.close()?;
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// The values of a column in the row group.
struct Column {
    values: Values,
    /// For each row: 1 for a value, 0 for null.
    levels: Vec<i16>,
}

enum Values {
    Texts(Vec<ByteArray>),
    Integers(Vec<i64>),
    Numbers(Vec<f64>),
    Booleans(Vec<bool>),
}

impl Column {
    fn new(values: Values) -> Self {
        Self { values, levels: Vec::new() }
    }

    /// Adds a value and returns the bytes of its text.
    fn add(&mut self, value: Value) -> usize {
        let (added, bytes) = match &mut self.values {
            Values::Texts(texts) => {
                let text = match value {
                    Value::Null => None,
                    Value::String(text) => Some(text),
                    other => Some(other.to_string()),
                };
                let bytes = text.as_ref().map_or(0, String::len);
                (push(texts, text.map(|text| ByteArray::from(text.into_bytes()))), bytes)
            }
            Values::Integers(integers) => (push(integers, value.as_i64()), 0),
            Values::Numbers(numbers) => (push(numbers, value.as_f64()), 0),
            Values::Booleans(booleans) => (push(booleans, value.as_bool()), 0),
        };
        self.levels.push(added.into());
        bytes
    }

    /// Writes the values and forgets them.
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = Some(self.levels.as_slice());
        match &mut self.values {
            Values::Texts(texts) => {
                writer.typed::<ByteArrayType>().write_batch(texts, levels, None)?;
                texts.clear();
            }
            Values::Integers(integers) => {
                writer.typed::<Int64Type>().write_batch(integers, levels, None)?;
                integers.clear();
            }
            Values::Numbers(numbers) => {
                writer.typed::<DoubleType>().write_batch(numbers, levels, None)?;
                numbers.clear();
            }
            Values::Booleans(booleans) => {
                writer.typed::<BoolType>().write_batch(booleans, levels, None)?;
                booleans.clear();
            }
        }
        self.levels.clear();
        Ok(())
    }
}

/// Adds a value if there is one, and returns whether.
fn push<T>(values: &mut Vec<T>, value: Option<T>) -> bool {
    let is_there = value.is_some();
    values.extend(value);
    is_there
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};
    use parquet::record::Field;
    use serde_json::json;

    use super::*;

    const COLUMNS: [(&str, ColumnType); 2] = [("name", ColumnType::Text), ("size", ColumnType::Integer)];

    fn rows_of_groups(file: Vec<u8>) -> (Vec<i64>, Vec<Vec<Field>>) {
        let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
        let groups = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        let rows = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().get_column_iter().map(|(_, field)| field.clone()).collect());
        (groups, rows.collect())
    }

    #[test]
    fn a_row_group_ends_at_its_limits_of_rows_and_bytes() {
        let mut file = Vec::new();
        let mut table = ColumnTable::new(&mut file, &COLUMNS).unwrap();
        (table.most_rows, table.most_bytes) = (3, 10);
        for name in ["a", "b", "c", "d", "long enough", "e"] {
            table.add([json!(name), json!(name.len())]).unwrap();
        }
        table.finish().unwrap();
        let (groups, rows) = rows_of_groups(file);
        assert_eq!(groups, [3, 2, 1]);
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[4], [Field::Str("long enough".to_owned()), Field::Long(11)]);
    }

    #[test]
    fn values_of_another_type_and_missing_ones_are_null() {
        let mut file = Vec::new();
        let mut table = ColumnTable::new(&mut file, &COLUMNS).unwrap();
        table.add([json!(null), json!("many")]).unwrap();
        table.add([json!(7)]).unwrap();
        table.add([json!("surplus"), json!(1.5), json!("more")]).unwrap();
        table.finish().unwrap();
        let text = |text: &str| Field::Str(text.to_owned());
        let expected = [[Field::Null, Field::Null], [text("7"), Field::Null], [text("surplus"), Field::Null]];
        assert_eq!(rows_of_groups(file), (vec![3], expected.map(Vec::from).into()));
    }

    #[test]
    fn a_table_without_rows_is_a_file() {
        let mut file = Vec::new();
        ColumnTable::new(&mut file, &COLUMNS).unwrap().finish().unwrap();
        assert_eq!(rows_of_groups(file), (vec![], vec![]));
    }
}

//! Footers of Parquet files: columns with their types, sizes, missing values and bounds. The values themselves are not read.
//!
//! The sources are `parquet.thrift` and `Encodings.md` of apache/parquet-format, and `thrift-compact-protocol.md` of
//! apache/thrift.

use std::collections::BTreeSet;

use super::outline::{Grid, Outline, shown};
use super::thrift::{Fault, Reader, Value};
use crate::web::page::{bytes, count, counted};

/// The length of the end of a file: the length of its footer, and the magic bytes.
pub(super) const END: u64 = 8;
/// The largest footer that is read, in bytes.
pub(super) const LARGEST_FOOTER: u64 = 16 << 20;
/// The most columns of a file.
const MOST_COLUMNS: usize = 20_000;
/// How deep a column may lie in others.
const DEEPEST: usize = 32;

/// Returns the length of the footer, from the last bytes of a file.
///
/// # Errors
///
/// A reason for people if the file is not Parquet, if its footer is encrypted, or if the footer is too large.
pub(super) fn footer_length(end: &[u8], size: u64) -> Result<u64, &'static str> {
    let parts = end.split_at_checked(4).and_then(|(length, magic)| Some((length.try_into().ok()?, magic)));
    match parts {
        Some((_, b"PARE")) => Err("The footer of this Parquet file is encrypted."),
        Some((length, b"PAR1")) => match u64::from(u32::from_le_bytes(length)) {
            length if length > LARGEST_FOOTER => Err("The footer of this Parquet file is too large."),
            length if length + END > size => Err("The footer of this Parquet file cannot be read."),
            length => Ok(length),
        },
        _ => Err("The file does not end like Parquet."),
    }
}

/// Returns the outline that a footer states.
pub(super) fn outline(footer: &[u8]) -> Option<Outline> {
    let file = File::read(footer).ok()?;
    let mut note = format!(
        "{} in {}, as the footer of the file states.",
        counted(file.rows, "row", "rows"),
        counted(file.groups, "row group", "row groups")
    );
    if !file.writer.is_empty() {
        note += &format!(" Written by {}.", file.writer);
    }
    let columns = file.columns.iter().map(|column| {
        vec![
            column.name.clone(),
            column.kind.clone(),
            column.missing(file.groups),
            column.bound(&column.least, file.groups),
            column.bound(&column.greatest, file.groups),
            bytes(column.size),
            column.codecs.iter().map(|number| codec(*number)).collect::<Vec<_>>().join(", "),
        ]
    });
    const HEAD: [&str; 7] = ["Column", "Type", "Missing", "Least", "Greatest", "Stored size", "Compression"];
    let facts = file.facts.iter().map(|(name, value)| vec![name.clone(), value.clone()]);
    let grids = [Grid::of("Columns", &HEAD, columns), Grid::of("Attributes", &["Name", "Value"], facts)];
    Some(Outline {
        title: "Columns of the file",
        note,
        grids: grids.into_iter().filter(|grid| !grid.rows.is_empty()).collect(),
    })
}

/// A footer.
#[derive(Default)]
struct File {
    rows: u64,
    groups: u64,
    columns: Vec<Column>,
    writer: String,
    facts: Vec<(String, String)>,
}

/// A column without columns in it, with the facts of all row groups.
#[derive(Default)]
struct Column {
    name: String,
    kind: String,
    physical: i64,
    /// Whether the bounds are plain numbers in order.
    is_number: bool,
    size: u64,
    codecs: BTreeSet<i64>,
    missing: u64,
    /// Row groups that state the number of missing values.
    groups_with_missing: u64,
    least: Bound,
    greatest: Bound,
}

/// A bound over row groups.
#[derive(Default)]
struct Bound {
    value: Option<Number>,
    /// Row groups that state it.
    groups: u64,
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Real(f64),
}

impl Number {
    fn is_less(self, other: Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(two)) => one < two,
            (Self::Real(one), Self::Real(two)) => one < two,
            _ => false,
        }
    }
}

impl Column {
    fn missing(&self, groups: u64) -> String {
        if self.groups_with_missing == groups { count(self.missing) } else { String::new() }
    }

    fn bound(&self, bound: &Bound, groups: u64) -> String {
        match bound.value.filter(|_| bound.groups == groups) {
            Some(Number::Whole(number)) => number.to_string(),
            Some(Number::Real(number)) => number.to_string(),
            None => String::new(),
        }
    }

    /// Reads the plain form of a number.
    fn number(&self, stored: &[u8]) -> Option<Number> {
        if !self.is_number {
            return None;
        }
        Some(match self.physical {
            1 => Number::Whole(i32::from_le_bytes(stored.try_into().ok()?).into()),
            2 => Number::Whole(i64::from_le_bytes(stored.try_into().ok()?)),
            4 => Number::Real(f32::from_le_bytes(stored.try_into().ok()?).into()),
            5 => Number::Real(f64::from_le_bytes(stored.try_into().ok()?)),
            _ => return None,
        })
    }

    fn add_statistics(&mut self, statistics: &Statistics<'_>) {
        if let Some(missing) = statistics.missing {
            self.missing = self.missing.saturating_add(missing);
            self.groups_with_missing += 1;
        }
        if let Some(least) = statistics.least.and_then(|stored| self.number(stored)) {
            self.least.groups += 1;
            if self.least.value.is_none_or(|known| least.is_less(known)) {
                self.least.value = Some(least);
            }
        }
        if let Some(greatest) = statistics.greatest.and_then(|stored| self.number(stored)) {
            self.greatest.groups += 1;
            if self.greatest.value.is_none_or(|known| known.is_less(greatest)) {
                self.greatest.value = Some(greatest);
            }
        }
    }
}

/// Facts about the values of a column in a row group. Bounds are in the plain form of the column's type.
#[derive(Default)]
struct Statistics<'a> {
    missing: Option<u64>,
    least: Option<&'a [u8]>,
    greatest: Option<&'a [u8]>,
}

impl<'a> Statistics<'a> {
    /// Reads `Statistics`. The old fields 1 and 2 are left out: their order is not defined for all types.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Fault> {
        let mut statistics = Self::default();
        reader.structure(|reader, field| {
            match field.number {
                3 => statistics.missing = u64::try_from(reader.int(field)?).ok(),
                5 => statistics.greatest = Some(reader.binary(field)?),
                6 => statistics.least = Some(reader.binary(field)?),
                _ => reader.skip(field)?,
            }
            Ok(())
        })?;
        Ok(statistics)
    }
}

impl File {
    /// Reads `FileMetaData`.
    fn read(footer: &[u8]) -> Result<Self, Fault> {
        let mut file = Self::default();
        Reader::new(footer).structure(|reader, field| {
            match field.number {
                2 => {
                    let mut elements = Vec::new();
                    reader.list(field, |reader, item| {
                        item.must_be(Value::Structure)?;
                        elements.push(Element::read(reader)?);
                        if elements.len() > MOST_COLUMNS { Err(Fault) } else { Ok(()) }
                    })?;
                    file.columns = columns(&elements)?;
                }
                3 => file.rows = u64::try_from(reader.int(field)?).map_err(|_| Fault)?,
                4 => reader.list(field, |reader, item| {
                    item.must_be(Value::Structure)?;
                    file.groups += 1;
                    file.read_group(reader)
                })?,
                5 => reader.list(field, |reader, item| {
                    item.must_be(Value::Structure)?;
                    let fact = fact(reader)?;
                    if file.facts.len() < MOST_COLUMNS {
                        file.facts.push(fact);
                    }
                    Ok(())
                })?,
                6 => file.writer = text(reader.binary(field)?),
                _ => reader.skip(field)?,
            }
            Ok(())
        })?;
        Ok(file)
    }

    /// Reads `RowGroup`: its columns are those of the schema, in the same order.
    fn read_group(&mut self, reader: &mut Reader<'_>) -> Result<(), Fault> {
        reader.structure(|reader, field| {
            if field.number != 1 {
                return reader.skip(field);
            }
            let mut columns = self.columns.iter_mut();
            reader.list(field, |reader, item| {
                item.must_be(Value::Structure)?;
                let column = columns.next().ok_or(Fault)?;
                // `ColumnChunk`
                reader.structure(|reader, field| match field.number {
                    3 => {
                        field.value.must_be(Value::Structure)?;
                        read_chunk(column, reader)
                    }
                    _ => reader.skip(field),
                })
            })
        })
    }
}

/// Reads `ColumnMetaData`.
fn read_chunk(column: &mut Column, reader: &mut Reader<'_>) -> Result<(), Fault> {
    reader.structure(|reader, field| {
        match field.number {
            4 => {
                let codec = reader.int(field)?;
                if column.codecs.len() < 10 {
                    column.codecs.insert(codec);
                }
            }
            7 => {
                let size = u64::try_from(reader.int(field)?).map_err(|_| Fault)?;
                column.size = column.size.saturating_add(size);
            }
            12 => {
                field.value.must_be(Value::Structure)?;
                column.add_statistics(&Statistics::read(reader)?);
            }
            _ => reader.skip(field)?,
        }
        Ok(())
    })
}

/// Reads `KeyValue`.
fn fact(reader: &mut Reader<'_>) -> Result<(String, String), Fault> {
    let (mut key, mut value) = (String::new(), String::new());
    reader.structure(|reader, field| {
        match field.number {
            1 => key = text(reader.binary(field)?),
            2 => value = text(reader.binary(field)?),
            _ => reader.skip(field)?,
        }
        Ok(())
    })?;
    Ok((key, value))
}

fn text(stored: &[u8]) -> String {
    // More characters than a cell shows need not be decoded.
    let first = stored.get(..stored.len().min(4096)).unwrap_or(stored);
    shown(&String::from_utf8_lossy(first))
}

/// A node of the schema.
#[derive(Default)]
struct Element {
    name: String,
    physical: Option<i64>,
    repetition: i64,
    children: usize,
    converted: Option<i64>,
    /// The number of the field that is set in the union `LogicalType`.
    logical: Option<i16>,
    scale: i64,
    precision: i64,
}

impl Element {
    /// Reads `SchemaElement`.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut element = Self::default();
        reader.structure(|reader, field| {
            match field.number {
                1 => element.physical = Some(reader.int(field)?),
                3 => element.repetition = reader.int(field)?,
                4 => element.name = text(reader.binary(field)?),
                5 => element.children = usize::try_from(reader.int(field)?).map_err(|_| Fault)?,
                6 => element.converted = Some(reader.int(field)?),
                7 => element.scale = reader.int(field)?,
                8 => element.precision = reader.int(field)?,
                10 => {
                    field.value.must_be(Value::Structure)?;
                    reader.structure(|reader, kind| {
                        element.logical = Some(kind.number);
                        reader.skip(kind)
                    })?;
                }
                _ => reader.skip(field)?,
            }
            Ok(())
        })?;
        Ok(element)
    }

    /// Returns the meaning of the values, if it is another than the physical type.
    fn meaning(&self) -> Option<String> {
        Some(match (self.logical, self.converted) {
            (Some(1), _) | (_, Some(0)) => "text".to_owned(),
            (Some(4), _) | (_, Some(4)) => "one of a list".to_owned(),
            (Some(5), _) | (_, Some(5)) => format!("decimal ({}, {})", self.precision, self.scale),
            (Some(6), _) | (_, Some(6)) => "date".to_owned(),
            (Some(7), _) | (_, Some(7 | 8)) => "time of day".to_owned(),
            (Some(8), _) | (_, Some(9 | 10)) => "date and time".to_owned(),
            (_, Some(number @ 11..=14)) => format!("uint{}", 8 << (number - 11)),
            (_, Some(number @ 15..=18)) => format!("int{}", 8 << (number - 15)),
            (Some(12), _) | (_, Some(19)) => "JSON".to_owned(),
            (Some(13), _) | (_, Some(20)) => "BSON".to_owned(),
            (Some(14), _) => "UUID".to_owned(),
            (Some(15), _) => "float16".to_owned(),
            _ => return None,
        })
    }

    fn column(&self, name: String) -> Column {
        let physical = self.physical.unwrap_or(-1);
        let plain = match physical {
            0 => "true or false",
            1 => "int32",
            2 => "int64",
            3 => "date and time (int96)",
            4 => "float",
            5 => "double",
            6 => "bytes",
            7 => "bytes of one length",
            _ => "unknown",
        };
        let meaning = self.meaning();
        // Signed integers have the order of the numbers in which they are stored.
        let is_number = match &meaning {
            None => true,
            Some(meaning) => meaning.starts_with("int"),
        };
        Column {
            name,
            kind: meaning.unwrap_or_else(|| plain.to_owned()),
            physical,
            is_number,
            ..Column::default()
        }
    }
}

/// Returns the columns of a schema: its nodes without children, in order.
fn columns(elements: &[Element]) -> Result<Vec<Column>, Fault> {
    let (root, nodes) = elements.split_first().ok_or(Fault)?;
    let mut columns = Vec::new();
    // The open nodes: their names, and how many of their children are to come.
    let mut open = vec![("", root.children)];
    for node in nodes {
        while open.pop_if(|(_, children)| *children == 0).is_some() {}
        let (_, children) = open.last_mut().ok_or(Fault)?;
        *children -= 1;
        if node.children > 0 {
            if open.len() >= DEEPEST {
                return Err(Fault);
            }
            open.push((node.name.as_str(), node.children));
            continue;
        }
        let above = open.iter().skip(1).map(|(name, _)| *name);
        let path: Vec<&str> = above.chain([node.name.as_str()]).collect();
        columns.push(node.column(shown(&path.join("."))));
    }
    Ok(columns)
}

fn codec(number: i64) -> &'static str {
    match number {
        0 => "none",
        1 => "Snappy",
        2 => "gzip",
        3 => "LZO",
        4 => "Brotli",
        5 | 7 => "LZ4",
        6 => "Zstandard",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::{footer_length, outline};

    /// The footer of a file that DuckDB 1.5 wrote: 3002 rows of five columns. The last one is a structure.
    const FOOTER: &str = "FQIZrDUAGA1kdWNrZGJfc2NoZW1hFQoAFQIlAhgDcm93JSIAFQolAhgEdGVtcAAVDCUCGARzaXRlJQAAFQIlAhgDZGF5JQwANQIYBm5lc3RlZB\
     UEABUEJQIYAWElJAA1AhgBYhUCFQYANQQYBGxpc3QVAgAVBCUCGAdlbGVtZW50JSQAFvQuGSwZbCYAHBUCGRUAGRgDcm93FQwWgCAWuIABFoxC\
     Jgg8GAT9BwAAGAT+////FgAoBP0HAAAYBP7///8REQAAACYAHBUKGRUAGRgEdGVtcBUMFoAgFriAAhacHiaUQjwYCAAAAAAA9I9AGAgAAAAAAA\
     DwvxYAKAgAAAAAAPSPQBgIAAAAAAAA8L8REQAAACYAHBUMGRUEGRgEc2l0ZRUMFoAgFuoEFrYBJuZgJrBgHBgBeBgBeBbUChYCGAF4GAF4EREA\
     Jp7uAhVeAAAmABwVAhkVABkYA2RheRUMFoAgFriAARbaRCbmYTwYBJtTAAAYBJxLAAAWACgEm1MAABgEnEsAABERAAAAJgAcFQQZFQAZKAZuZX\
     N0ZWQBYRUMFoAgFriAAhb+NSbApgE8GAj9BwAAAAAAABgI/v////////8WACgI/QcAAAAAAAAYCP7/////////EREAAAAmABwVBBkVABlIBm5l\
     c3RlZAFiBGxpc3QHZWxlbWVudBUMFoBAFuCIBBasIia+3AE8GAj9BwAAAAAAABgI/v////////8WACgI/QcAAAAAAAAYCP7/////////EREAAA\
     AWqo8KFoAgJggW4v4BABlsJgAcFQIZFQAZGANyb3cVDBb0DhaGPBbKHibq/gE8GAS3CwAAGAT+BwAAFgAoBLcLAAAYBP4HAAAREQAAACYAHBUK\
     GRUAGRgEdGVtcBUMFvQOFtZ3FsAPJrSdAjwYCAAAAAAAbpdAGAgAAAAAAPiPQBYAKAgAAAAAAG6XQBgIAAAAAAD4j0AREQAAACYAHBUMGRUEGR\
     gEc2l0ZRUMFvQOFuICFrQBJqqtAib0rAIcGAF4GAF4FvwEFgIYAXgYAXgREQAm/O4CFV4AACYAHBUCGRUAGRgDZGF5FQwW9A4WhjwW+B4mqK4C\
     PBgEVVcAABgEnFMAABYAKARVVwAAGAScUwAAEREAAAAmABwVBBkVABkoBm5lc3RlZAFhFQwW9A4W1ncWpBAmoM0CPBgItwsAAAAAAAAYCP4HAA\
     AAAAAAFgAoCLcLAAAAAAAAGAj+BwAAAAAAABERAAAAJgAcFQQZFQAZSAZuZXN0ZWQBYgRsaXN0B2VsZW1lbnQVDBboHRaQ8wEW2hAmxN0CPBgI\
     twsAAAAAAAAYCAIAAAAAAAAAFgAoCLcLAAAAAAAAGAgCAAAAAAAAABERAAAAFqrdBBb0Dibq/gEWtG8AGRwYBXRpdGxlGAdNb29yaW5nABgoRH\
     Vja0RCIHZlcnNpb24gdjEuNS41IChidWlsZCBkOGNkYWEzM2ZkKRlsHAAAHAAAHAAAHAAAHAAAHAAAAA==";

    fn footer() -> Vec<u8> {
        base64::engine::general_purpose::STANDARD.decode(FOOTER.replace(char::is_whitespace, "")).unwrap()
    }

    #[test]
    fn a_footer_of_duckdb_is_read() {
        let read = outline(&footer()).unwrap();
        assert!(read.note.starts_with("3002 rows in 2 row groups"), "{}", read.note);
        let columns = &read.grids[0].rows;
        let names: Vec<&str> = columns.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(names, ["row", "temp", "site", "day", "nested.a", "nested.b.list.element"]);
        assert_eq!(columns[0][1..5], ["int32", "0", "-2", "2999"]);
        assert_eq!(columns[1][1..5], ["double", "0", "-1", "1499.5"]);
        assert_eq!(columns[2][1..5], ["text", "1000", "", ""]);
        assert_eq!(columns[3][1..5], ["date", "0", "", ""]);
        assert!(columns.iter().all(|row| row[6] == "Zstandard"), "{columns:?}");
        assert!(read.grids[1].rows.contains(&vec!["title".to_owned(), "Mooring".to_owned()]));
    }

    #[test]
    fn a_broken_footer_is_refused() {
        let whole = footer();
        for length in 0..whole.len() {
            assert!(outline(&whole[..length]).is_none(), "{length}");
        }
        // Structures in structures, and a list that claims more items than there are bytes.
        assert!(outline(&vec![0x1c; 100_000]).is_none());
        assert!(outline(&[0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_none());
    }

    #[test]
    fn the_end_of_a_file_says_how_long_its_footer_is() {
        assert_eq!(footer_length(b"\x10\x00\x00\x00PAR1", 100), Ok(16));
        for (end, size) in [
            (&b"\x10\x00\x00\x00PARE"[..], 100),
            (b"\xff\xff\xff\xffPAR1", u64::MAX),
            (b"\x5d\x00\x00\x00PAR1", 100),
            (b"\x10\x00\x00\x00ZIP1", 100),
            (b"PAR1", 4),
        ] {
            assert!(footer_length(end, size).is_err(), "{end:?}");
        }
    }
}

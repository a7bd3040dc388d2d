//! Headers of NetCDF files in the classic formats: dimensions, variables and attributes. The values of variables are not read.
//!
//! The source of the layout is appendix B of the NetCDF User's Guide, "File Format Specifications": CDF-1, CDF-2 and CDF-5.

use super::outline::{Grid, Outline, shown};
use crate::web::page::{count, counted};

/// The most bytes of a file that are read for its header.
pub(super) const MOST_BYTES: u64 = 2 << 20;
/// The most values of an attribute that are listed.
const MOST_VALUES: usize = 12;

/// The first bytes of HDF5, in which NetCDF-4 files are stored.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Returns whether a file is in HDF5, whose layout this reader does not know.
pub(super) fn is_hdf5(first: &[u8]) -> bool {
    first.starts_with(HDF5)
}

/// Returns the header of a file that begins with these bytes, or `None` if it is not in a classic format.
///
/// Lists the part that was read if the header is longer or broken.
pub(super) fn outline(first: &[u8]) -> Option<Outline> {
    let mut header = Header::default();
    let mut reader = Reader::open(first)?;
    let is_whole = header.read(&mut reader).is_some();
    Some(header.into_outline(reader.format, is_whole))
}

/// The format of a file, which decides how wide its numbers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Classic,
    Offsets64,
    Data64,
}

impl Format {
    fn in_words(self) -> &'static str {
        match self {
            Self::Classic => "NetCDF classic (CDF-1)",
            Self::Offsets64 => "NetCDF with 64-bit offsets (CDF-2)",
            Self::Data64 => "NetCDF with 64-bit data (CDF-5)",
        }
    }
}

/// Reads big-endian numbers and names. Every read fails at the end of the bytes.
struct Reader<'a> {
    rest: &'a [u8],
    format: Format,
}

impl<'a> Reader<'a> {
    fn open(bytes: &'a [u8]) -> Option<Self> {
        let (version, rest) = bytes.strip_prefix(b"CDF")?.split_first()?;
        let format = match version {
            1 => Format::Classic,
            2 => Format::Offsets64,
            5 => Format::Data64,
            _ => return None,
        };
        Some(Self { rest, format })
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// Takes bytes that fill words of four.
    fn take_padded(&mut self, length: u64) -> Option<&'a [u8]> {
        let taken = self.take(length)?;
        self.take(length.next_multiple_of(4) - length)?;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn double_word(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// Reads a size or a count.
    fn size(&mut self) -> Option<u64> {
        match self.format {
            Format::Data64 => self.double_word(),
            _ => self.word().map(u64::from),
        }
    }

    fn name(&mut self) -> Option<String> {
        let length = self.size()?;
        Some(shown(&String::from_utf8_lossy(self.take_padded(length)?)))
    }

    /// Reads the beginning of a list, and returns the number of its items.
    fn list(&mut self, expected: u32) -> Option<u64> {
        let tag = self.word()?;
        let items = self.size()?;
        (tag == expected || tag == 0 && items == 0).then_some(items)
    }

    fn attribute(&mut self) -> Option<(String, String)> {
        let name = self.name()?;
        let kind = Kind::of(self.word()?)?;
        let values = self.size()?;
        let bytes = self.take_padded(values.checked_mul(kind.size())?)?;
        Some((name, kind.values(bytes)))
    }

    fn skip_offset(&mut self) -> Option<()> {
        self.take(if self.format == Format::Classic { 4 } else { 8 }).map(|_| ())
    }
}

/// The type of values.
#[derive(Clone, Copy)]
enum Kind {
    Int { size: u64, is_signed: bool },
    Text,
    Float,
    Double,
}

impl Kind {
    fn of(number: u32) -> Option<Self> {
        let int = |size, is_signed| Some(Self::Int { size, is_signed });
        match number {
            1 => int(1, true),
            2 => Some(Self::Text),
            3 => int(2, true),
            4 => int(4, true),
            5 => Some(Self::Float),
            6 => Some(Self::Double),
            7 => int(1, false),
            8 => int(2, false),
            9 => int(4, false),
            10 => int(8, true),
            11 => int(8, false),
            _ => None,
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::Int { size, .. } => size,
            Self::Text => 1,
            Self::Float => 4,
            Self::Double => 8,
        }
    }

    fn in_words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Float => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Int { size, is_signed } => format!("{}int{}", if is_signed { "" } else { "u" }, size * 8),
        }
    }

    /// Returns the first values of an attribute as text.
    fn values(self, bytes: &[u8]) -> String {
        if matches!(self, Self::Text) {
            return shown(String::from_utf8_lossy(bytes).trim_end_matches('\0'));
        }
        let width = usize::try_from(self.size()).unwrap_or(1);
        let chunks = bytes.chunks_exact(width);
        let more = chunks.len().saturating_sub(MOST_VALUES);
        let values: Vec<String> = chunks.take(MOST_VALUES).filter_map(|chunk| self.value(chunk)).collect();
        match more {
            0 => values.join(", "),
            more => format!("{} and {} more", values.join(", "), count(more as u64)),
        }
    }

    fn value(self, bytes: &[u8]) -> Option<String> {
        Some(match self {
            Self::Float => f32::from_be_bytes(bytes.try_into().ok()?).to_string(),
            Self::Double => f64::from_be_bytes(bytes.try_into().ok()?).to_string(),
            Self::Text => String::new(),
            Self::Int { is_signed, .. } => {
                let is_negative = is_signed && bytes.first().is_some_and(|first| *first >= 0x80);
                let mut wide = [if is_negative { 0xff } else { 0 }; 16];
                wide.get_mut(16 - bytes.len()..)?.copy_from_slice(bytes);
                i128::from_be_bytes(wide).to_string()
            }
        })
    }
}

/// The parts of a header that were read.
#[derive(Default)]
struct Header {
    /// Number of records. Unknown while a program writes the file.
    records: Option<u64>,
    /// Names and lengths. The length of the record dimension is zero.
    dimensions: Vec<(String, u64)>,
    attributes: Vec<(String, String)>,
    variables: Vec<Variable>,
}

struct Variable {
    name: String,
    kind: Kind,
    dimensions: Vec<u64>,
    attributes: Vec<(String, String)>,
}

const DIMENSIONS: u32 = 10;
const VARIABLES: u32 = 11;
const ATTRIBUTES: u32 = 12;

impl Header {
    /// Reads a header. Returns `None` where it ends too early or is broken; the parts before stay.
    fn read(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let records = reader.size()?;
        let is_streamed = match reader.format {
            Format::Data64 => records == u64::MAX,
            _ => records == u64::from(u32::MAX),
        };
        self.records = (!is_streamed).then_some(records);
        // Each item takes bytes, so the bytes that were read bound the loops.
        for _ in 0..reader.list(DIMENSIONS)? {
            let name = reader.name()?;
            self.dimensions.push((name, reader.size()?));
        }
        for _ in 0..reader.list(ATTRIBUTES)? {
            self.attributes.push(reader.attribute()?);
        }
        for _ in 0..reader.list(VARIABLES)? {
            let name = reader.name()?;
            let mut dimensions = Vec::new();
            for _ in 0..reader.size()? {
                dimensions.push(reader.size()?);
            }
            let mut attributes = Vec::new();
            for _ in 0..reader.list(ATTRIBUTES)? {
                attributes.push(reader.attribute()?);
            }
            let kind = Kind::of(reader.word()?)?;
            reader.size()?;
            reader.skip_offset()?;
            self.variables.push(Variable { name, kind, dimensions, attributes });
        }
        Some(())
    }

    fn into_outline(self, format: Format, is_whole: bool) -> Outline {
        let mut note = format!("{}.", format.in_words());
        if let Some(records) = self.records.filter(|_| self.dimensions.iter().any(|(_, length)| *length == 0))
        {
            note += &format!(" {}.", counted(records, "record", "records"));
        }
        if !is_whole {
            note += " The header is broken or longer than the part that was read.";
        }
        let dimensions =
            self.dimensions.iter().map(|(name, length)| vec![name.clone(), self.length(*length)]);
        let variables = self.variables.iter().map(|variable| {
            let fact = |wanted: &str| {
                let found = variable.attributes.iter().find(|(name, _)| name == wanted);
                found.map(|(_, value)| value.clone())
            };
            let about = fact("long_name").or_else(|| fact("standard_name")).or_else(|| fact("description"));
            let shape = variable.dimensions.iter().take(MOST_VALUES).map(|number| self.dimension(*number));
            vec![
                variable.name.clone(),
                about.unwrap_or_default(),
                fact("units").unwrap_or_default(),
                variable.kind.in_words(),
                shape.collect::<Vec<String>>().join(" × "),
            ]
        });
        let grids = vec![
            Grid::of("Variables", &["Name", "Meaning", "Unit", "Type", "Dimensions"], variables),
            Grid::of("Dimensions", &["Name", "Length"], dimensions),
            Grid::of(
                "Attributes",
                &["Name", "Value"],
                self.attributes.iter().map(|(name, value)| vec![name.clone(), value.clone()]),
            ),
        ];
        Outline {
            title: "Header",
            note,
            grids: grids.into_iter().filter(|grid| !grid.rows.is_empty()).collect(),
        }
    }

    fn length(&self, length: u64) -> String {
        match (length, self.records) {
            (0, Some(records)) => format!("{} so far, not limited", count(records)),
            (0, None) => "not limited".to_owned(),
            (length, _) => count(length),
        }
    }

    fn dimension(&self, number: u64) -> String {
        let found = usize::try_from(number).ok().and_then(|number| self.dimensions.get(number));
        found.map_or_else(|| "?".to_owned(), |(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::any;
    use proptest::test_runner::TestRunner;

    use super::{is_hdf5, outline};

    /// Writes the header of one file in each format: numbers of the format are as wide as it wants.
    fn file(version: u8) -> Vec<u8> {
        let size = |number: u64| match version {
            5 => number.to_be_bytes().to_vec(),
            _ => u32::try_from(number).unwrap().to_be_bytes().to_vec(),
        };
        let name = |text: &str| {
            let mut bytes = size(text.len() as u64);
            bytes.extend(text.as_bytes());
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let word = |number: u32| number.to_be_bytes().to_vec();
        let text = |key: &str, value: &str| [name(key), word(2), name(value)].concat();
        let offset = if version == 1 { word(500) } else { 500_u64.to_be_bytes().to_vec() };
        [
            b"CDF".to_vec(),
            vec![version],
            size(744),
            word(10),
            size(2),
            [name("time"), size(0), name("depth"), size(5)].concat(),
            word(12),
            size(2),
            text("title", "Mooring <b>"),
            [name("range"), word(3), size(2), vec![0xff, 0xfe, 0, 9]].concat(),
            word(11),
            size(1),
            name("temp"),
            size(2),
            [size(0), size(1)].concat(),
            word(12),
            size(2),
            text("units", "degC"),
            [name("_FillValue"), word(5), size(1), (-9.5_f32).to_be_bytes().to_vec()].concat(),
            word(5),
            size(20),
            offset,
        ]
        .concat()
    }

    #[test]
    fn each_classic_format_is_read() {
        for (version, words) in [(1, "CDF-1"), (2, "CDF-2"), (5, "CDF-5")] {
            let read = outline(&file(version)).unwrap();
            assert!(read.note.contains(words) && read.note.contains("744 records"), "{}", read.note);
            assert!(!read.note.contains("broken"), "{}", read.note);
            assert_eq!(read.grids[0].rows, [["temp", "", "degC", "float", "time × depth"]]);
            assert_eq!(read.grids[1].rows, [["time", "744 so far, not limited"], ["depth", "5"]]);
            assert_eq!(read.grids[2].rows, [["title", "Mooring <b>"], ["range", "-2, 9"]]);
        }
        assert!(outline(b"CDF\x03\0\0\0\0").is_none() && outline(b"").is_none());
        assert!(is_hdf5(b"\x89HDF\r\n\x1a\n\0") && outline(b"\x89HDF\r\n\x1a\n\0").is_none());
    }

    #[test]
    fn a_header_that_ends_early_shows_its_first_part() {
        let whole = file(1);
        for length in 4..whole.len() {
            let read = outline(&whole[..length]).unwrap();
            assert!(read.note.contains("broken or longer"), "{length}");
        }
        let read = outline(&whole[..whole.len() - 8]).unwrap();
        assert_eq!(read.grids.len(), 2, "dimensions and attributes");
    }

    #[test]
    fn no_bytes_cause_a_panic_or_claim_more_than_they_have() {
        let mut runner = TestRunner::deterministic();
        let inputs = (0..3_usize, vec((any::<u16>(), any::<u8>()), 1..12));
        let checked = runner.run(&inputs, |(version, changes)| {
            let mut bytes = file([1, 2, 5][version]);
            for (place, value) in changes {
                let place = 4 + usize::from(place) % (bytes.len() - 4);
                bytes[place] = value;
            }
            let listed: usize = outline(&bytes).unwrap().grids.iter().map(|grid| grid.rows.len()).sum();
            assert!(listed <= bytes.len());
            Ok(())
        });
        checked.unwrap();
    }
}

//! Reading a table once: the wanted rows, facts about every column, and the points of a plot, in bounded memory.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::time::{Duration, Instant};

use d1_catalog::d1_metadata::{Attribute, Entity};

use super::bins::{Bins, Extremes};
use super::dialect::Dialect;
use super::moment::{DateFormat, iso_seconds};

/// The longest line before the records, in bytes.
const LONGEST_LINE: u64 = 1 << 20;
/// The most columns of a table. Others are not read.
pub(crate) const MOST_COLUMNS: usize = 2000;
/// The longest cell that is kept, in bytes.
const LONGEST_CELL: usize = 4096;
/// The most rows that are kept, and the most bytes of their cells.
pub(crate) const MOST_ROWS: u64 = 100_000;
const MOST_CELL_BYTES: usize = 16 << 20;
/// The most different texts of a column that are counted, and the longest of them.
const MOST_TEXTS: usize = 64;
const LONGEST_TEXT: usize = 80;
/// Up to this many rows, a plot shows each point. Beyond, it shows the range of many.
pub(super) const MOST_POINTS: usize = 1000;
/// The time for a scan. A longer one ends early, and says so.
const LONGEST_SCAN: Duration = Duration::from_secs(10);
/// After this many rows, the time is looked at.
const ROWS_BETWEEN_LOOKS: u64 = 4096;

/// The parts of a table that a client wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    /// The rows to keep, from 0.
    pub(crate) rows: Range<u64>,
    /// The names of the columns to keep; none is all.
    pub(crate) columns: Vec<String>,
    /// Whether to gather the points of a plot of two columns.
    pub(crate) plot: bool,
    /// Their names. Without names, the first number over the first time that the metadata declare.
    pub(crate) plotted: Vec<String>,
    /// Whether to compute facts about all columns. Otherwise, reading may end behind the last wanted row.
    pub(crate) facts: bool,
}

/// A table, or a part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// The positions of the columns that the rows have.
    pub(crate) shown: Vec<usize>,
    pub(crate) rows: Vec<Vec<String>>,
    /// The number of the first kept row, from 0.
    pub(crate) first: u64,
    /// The number of rows that were read.
    pub(crate) count: u64,
    /// Whether these are all rows of the file.
    pub(crate) is_complete: bool,
    /// Whether rows were left out because they would be too large.
    pub(crate) is_cut: bool,
    /// Rows with another number of fields than the table has columns: how many, and the first of them.
    pub(crate) ragged: Option<(u64, u64)>,
    /// The names in the table's own first lines.
    pub(crate) names: Vec<String>,
    pub(crate) plot: Option<Plot>,
}

/// A column with the facts that the scan found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) attribute: Option<Attribute>,
    /// Cells without a value: empty, or a code for a missing value.
    pub(crate) missing: u64,
    /// Cells that are numbers, and cells that are dates.
    pub(crate) numbers: u64,
    pub(crate) times: u64,
    /// Cells with any value.
    pub(crate) values: u64,
    pub(crate) sum: f64,
    pub(crate) distribution: Bins<u64>,
    pub(crate) moments: Bins<u64>,
    pub(crate) texts: BTreeMap<String, u64>,
    pub(crate) has_more_texts: bool,
    /// Values outside the bounds of the metadata, values that are not in their list of codes, and values of another type:
    /// how many, and the row and text of the first.
    pub(crate) outside: Oddity,
    pub(crate) unknown: Oddity,
    pub(crate) unreadable: Oddity,
    rules: Rules,
}

/// Values that do not agree with the metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddity {
    pub(crate) count: u64,
    pub(crate) first: Option<(u64, String)>,
}

impl Oddity {
    fn note(&mut self, row: u64, text: &str) {
        self.count += 1;
        if self.first.is_none() {
            let end = text.floor_char_boundary(LONGEST_TEXT);
            self.first = Some((row, text.get(..end).unwrap_or_default().to_owned()));
        }
    }
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Time,
    Text,
}

/// The statements of the metadata about the values of a column.
#[derive(Clone, Debug, Default)]
struct Rules {
    declared: Option<Kind>,
    format: Option<DateFormat>,
    missing: Vec<String>,
    bounds: (Option<f64>, Option<f64>),
    codes: Vec<String>,
}

impl Rules {
    fn of(attribute: Option<&Attribute>) -> Self {
        let Some(attribute) = attribute else {
            let usual = ["NA", "NaN", "nan", "N/A", "null", "NULL"];
            return Self { missing: usual.map(str::to_owned).to_vec(), ..Self::default() };
        };
        let bound = |text: &Option<String>| text.as_deref().and_then(|text| text.trim().parse::<f64>().ok());
        let (low, high) = (bound(&attribute.minimum), bound(&attribute.maximum));
        let is_swapped = low.zip(high).is_some_and(|(low, high)| low > high);
        let format = attribute.date_format.as_deref().and_then(DateFormat::parse);
        let declared = match (attribute.scale.as_deref(), attribute.number_type.is_some()) {
            _ if !attribute.codes.is_empty() => Some(Kind::Text),
            (Some("dateTime"), _) => format.is_some().then_some(Kind::Time).or(Some(Kind::Text)),
            (Some("interval" | "ratio"), _) | (_, true) => Some(Kind::Number),
            (Some("nominal" | "ordinal"), _) => Some(Kind::Text),
            _ => None,
        };
        Self {
            declared,
            format,
            missing: attribute.missing.iter().map(|code| code.trim().to_owned()).collect(),
            // Bounds in the wrong order are a fault of the metadata, not of every value.
            bounds: if is_swapped { (high, low) } else { (low, high) },
            codes: attribute.codes.iter().map(|code| code.code.trim().to_owned()).collect(),
        }
    }

    fn is_missing(&self, text: &str, number: Option<f64>) -> bool {
        let is_same = |code: &String| {
            code == text || number.is_some_and(|number| code.parse::<f64>().is_ok_and(|code| code == number))
        };
        text.is_empty() || self.missing.iter().any(is_same)
    }
}

impl Column {
    pub(super) fn new(name: String, attribute: Option<&Attribute>) -> Self {
        Self { name, attribute: attribute.cloned(), rules: Rules::of(attribute), ..Self::default() }
    }

    /// Returns the type: as the metadata declare it, else the one that all values have.
    pub(crate) fn kind(&self) -> Kind {
        match self.rules.declared {
            Some(declared) => declared,
            None if self.values > 0 && self.numbers == self.values => Kind::Number,
            None if self.values > 0 && self.times == self.values => Kind::Time,
            None => Kind::Text,
        }
    }

    /// Returns the number or the time in a cell, for a plot.
    fn place(&self, text: &str) -> Option<f64> {
        let number = number(text);
        if self.rules.is_missing(text, number) {
            return None;
        }
        match self.rules.declared {
            Some(Kind::Text) => None,
            Some(Kind::Time) => self.seconds(text),
            Some(Kind::Number) => number,
            None => number.or_else(|| self.seconds(text)),
        }
    }

    fn seconds(&self, text: &str) -> Option<f64> {
        match &self.rules.format {
            Some(format) => format.seconds(text),
            None => iso_seconds(text),
        }
    }

    fn add(&mut self, row: u64, text: &str) {
        let number = number(text);
        if self.rules.is_missing(text, number) {
            self.missing += 1;
            return;
        }
        self.values += 1;
        if let Some(number) = number {
            self.numbers += 1;
            self.sum += number;
            self.distribution.add(number, &1);
        }
        let is_time = matches!(self.rules.declared, Some(Kind::Time))
            || (self.rules.declared.is_none() && number.is_none());
        let seconds = if is_time { self.seconds(text) } else { None };
        if let Some(seconds) = seconds {
            self.times += 1;
            self.moments.add(seconds, &1);
        }
        let is_readable = match self.rules.declared {
            Some(Kind::Number) => number.is_some(),
            Some(Kind::Time) => seconds.is_some(),
            _ => true,
        };
        if !is_readable {
            self.unreadable.note(row, text);
        }
        let (low, high) = self.rules.bounds;
        if number.is_some_and(|number| {
            low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high)
        }) {
            self.outside.note(row, text);
        }
        if !self.rules.codes.is_empty() && !self.rules.codes.iter().any(|code| code == text) {
            self.unknown.note(row, text);
        }
        self.count_text(text);
    }

    fn count_text(&mut self, text: &str) {
        if self.has_more_texts || matches!(self.rules.declared, Some(Kind::Number | Kind::Time)) {
            return;
        }
        if let Some(count) = self.texts.get_mut(text) {
            *count += 1;
        } else if self.texts.len() < MOST_TEXTS && text.len() <= LONGEST_TEXT {
            self.texts.insert(text.to_owned(), 1);
        } else {
            self.has_more_texts = true;
            self.texts.clear();
        }
    }
}

/// Reads a finite number.
fn number(text: &str) -> Option<f64> {
    // Rust also reads `inf` and `nan`, which are words here.
    let first = text.as_bytes().first()?;
    let may_be = first.is_ascii_digit() || matches!(first, b'-' | b'+' | b'.');
    may_be.then(|| text.parse::<f64>().ok().filter(|number| number.is_finite()))?
}

/// The points of a plot of two columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plot {
    pub(crate) x: usize,
    pub(crate) y: usize,
    /// Each point, while there are few.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) bins: Bins<Extremes>,
    pub(crate) count: u64,
}

impl Plot {
    fn add(&mut self, x: f64, y: f64) {
        self.count += 1;
        if self.points.len() < MOST_POINTS {
            self.points.push((x, y));
        }
        self.bins.add(x, &Extremes::of(y));
    }
}

/// The reason why a table cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("cannot read the table")]
    Read(#[from] std::io::Error),
    #[error("the table has no column of this name; its columns are: {0}")]
    UnknownColumn(String),
    #[error("the table's encoding is not supported")]
    Encoding,
}

impl From<csv::Error> for ScanError {
    fn from(error: csv::Error) -> Self {
        match error.into_kind() {
            csv::ErrorKind::Io(error) => Self::Read(error),
            other => Self::Read(std::io::Error::other(format!("{other:?}"))),
        }
    }
}

/// Reads a table. `is_whole` says that the input is the whole file, so a scan that comes to its end is complete.
pub(crate) fn scan(
    input: impl Read,
    dialect: &Dialect,
    entity: Option<&Entity>,
    wanted: &Wanted,
    is_whole: bool,
) -> Result<Table, ScanError> {
    if !dialect.is_ascii_compatible() {
        return Err(ScanError::Encoding);
    }
    let mut input = BufReader::with_capacity(64 << 10, input);
    skip_mark(&mut input)?;
    let head = Head::read(&mut input, dialect, entity)?;
    let mut table = Table { names: head.names.clone(), ..Table::default() };
    let attributes = entity.map(|entity| entity.attributes.as_slice()).unwrap_or_default();
    let rest = std::io::Cursor::new(head.pushed_back).chain(input);
    let mut reader = dialect.reader(rest);
    let mut record = csv::ByteRecord::new();
    let mut is_first = true;
    let mut held: VecDeque<csv::ByteRecord> = VecDeque::new();
    let mut scan = Scan { table: &mut table, wanted, cell_bytes: 0, started: Instant::now(), is_late: false };
    if !head.names.is_empty() {
        scan.begin(&head.names, attributes)?;
        is_first = false;
    }
    loop {
        let has_more = reader.read_byte_record(&mut record)?;
        if !has_more {
            break;
        }
        if is_first {
            let names = names_for(attributes, dialect.fields(&record).count());
            scan.begin(&names, attributes)?;
            is_first = false;
        }
        let ready = if dialect.footer_lines == 0 {
            Some(&record)
        } else {
            held.push_back(record.clone());
            if held.len() <= dialect.footer_lines {
                continue;
            }
            None
        };
        let popped = if ready.is_none() { held.pop_front() } else { None };
        if let Some(next) = ready.or(popped.as_ref())
            && !scan.row(next, dialect)
        {
            return Ok(table);
        }
    }
    if is_first {
        scan.begin(&names_for(attributes, 0), attributes)?;
    }
    let is_late = scan.is_late;
    table.is_complete = is_whole && !is_late;
    Ok(table)
}

/// Skips the byte order mark of UTF-8.
fn skip_mark(input: &mut impl BufRead) -> std::io::Result<()> {
    let has_mark = input.fill_buf()?.starts_with(b"\xef\xbb\xbf");
    if has_mark {
        input.consume(3);
    }
    Ok(())
}

/// Returns the names of columns of a table without a line of names.
fn names_for(attributes: &[Attribute], fields: usize) -> Vec<String> {
    let count = fields.max(attributes.len()).min(MOST_COLUMNS);
    let name = |position: usize| match attributes.get(position) {
        Some(attribute) => attribute.name.clone(),
        None => format!("column {}", position + 1),
    };
    (0..count).map(name).collect()
}

/// The lines before the records.
struct Head {
    names: Vec<String>,
    /// A first line that is a record.
    pushed_back: Vec<u8>,
}

impl Head {
    fn read(input: &mut impl BufRead, dialect: &Dialect, entity: Option<&Entity>) -> std::io::Result<Self> {
        let attributes = entity.map(|entity| entity.attributes.as_slice()).unwrap_or_default();
        let Some(count) = dialect.header_lines else {
            let line = read_line(input)?;
            let fields = dialect.split(&line);
            // A first line without a number names the columns.
            let has_names = !fields.is_empty() && fields.iter().all(|field| number(field.trim()).is_none());
            return Ok(match has_names {
                true => Self { names: cleaned(fields), pushed_back: Vec::new() },
                false => Self { names: Vec::new(), pushed_back: line },
            });
        };
        let mut best: (usize, Vec<String>) = (0, Vec::new());
        for _ in 0..count {
            let fields = dialect.split(&read_line(input)?);
            let is_known = |field: &&String| attributes.iter().any(|known| is_same_name(&known.name, field));
            // The line with most names of the metadata has the names; without metadata, the last line.
            let known = fields.iter().filter(is_known).count();
            if !fields.is_empty() && (known >= best.0 || best.1.is_empty()) {
                best = (known, fields);
            }
        }
        let (known, fields) = best;
        let looks_wrong = !attributes.is_empty() && known == 0 && fields.len() != attributes.len();
        Ok(Self { names: if looks_wrong { Vec::new() } else { cleaned(fields) }, pushed_back: Vec::new() })
    }
}

/// Returns the names of a header line. Empty ones get a number.
fn cleaned(fields: Vec<String>) -> Vec<String> {
    let named = fields.into_iter().take(MOST_COLUMNS).zip(1..).map(|(field, number)| match field.trim() {
        "" => format!("column {number}"),
        name => name.to_owned(),
    });
    named.collect()
}

/// Returns whether two names of columns mean the same: case and white space do not count.
pub(super) fn is_same_name(left: &str, right: &str) -> bool {
    left.trim().eq_ignore_ascii_case(right.trim())
}

fn read_line(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
    Ok(line)
}

/// A running scan.
struct Scan<'a> {
    table: &'a mut Table,
    wanted: &'a Wanted,
    cell_bytes: usize,
    started: Instant,
    is_late: bool,
}

impl Scan<'_> {
    /// Finds the columns by their names in the table, and else by their position.
    fn begin(&mut self, names: &[String], attributes: &[Attribute]) -> Result<(), ScanError> {
        let by_name =
            names.iter().map(|name| attributes.iter().find(|known| is_same_name(&known.name, name)));
        let by_name: Vec<Option<&Attribute>> = by_name.collect();
        let is_named = by_name.iter().any(Option::is_some);
        let columns = names.iter().zip(&by_name).enumerate().map(|(position, (name, found))| {
            let by_place = attributes.get(position).filter(|_| !is_named && attributes.len() == names.len());
            Column::new(name.clone(), found.or(by_place))
        });
        self.table.columns = columns.collect();
        let shown = self.positions(&self.wanted.columns)?;
        self.table.shown = if shown.is_empty() { (0..self.table.columns.len()).collect() } else { shown };
        self.table.first = self.wanted.rows.start;
        if self.wanted.plot {
            self.table.plot = self.plot()?;
        }
        Ok(())
    }

    /// Returns the positions of columns by their names.
    fn positions(&self, names: &[String]) -> Result<Vec<usize>, ScanError> {
        let all: Vec<&str> = self.table.columns.iter().map(|column| column.name.as_str()).collect();
        let position = |name: &String| {
            let found = all.iter().position(|known| known == name);
            found.or_else(|| all.iter().position(|known| is_same_name(known, name))).ok_or_else(|| {
                ScanError::UnknownColumn(all.iter().take(100).copied().collect::<Vec<_>>().join(", "))
            })
        };
        names.iter().map(position).collect()
    }

    fn plot(&self) -> Result<Option<Plot>, ScanError> {
        let of_kind =
            |kind: Kind| self.table.columns.iter().position(|column| column.rules.declared == Some(kind));
        let pair = match self.positions(&self.wanted.plotted)?.as_slice() {
            [x, y] => Some((*x, *y)),
            [] => of_kind(Kind::Time).zip(of_kind(Kind::Number)),
            _ => None,
        };
        Ok(pair.map(|(x, y)| Plot { x, y, ..Plot::default() }))
    }

    /// Adds a record, and returns whether to go on.
    fn row(&mut self, record: &csv::ByteRecord, dialect: &Dialect) -> bool {
        let row = self.table.count;
        self.table.count += 1;
        let is_wanted = self.wanted.rows.contains(&row);
        let cells: Vec<String> = dialect
            .fields(record)
            .take(self.table.columns.len() + 1)
            .map(|field| cell(dialect, field))
            .collect();
        if cells.len() != self.table.columns.len() {
            let ragged = self.table.ragged.get_or_insert((0, row));
            ragged.0 += 1;
        }
        if self.wanted.facts {
            for (column, text) in self.table.columns.iter_mut().zip(&cells) {
                column.add(row, text.trim());
            }
        }
        if let Some(plot) = &mut self.table.plot {
            let place = |position: usize| {
                let column = self.table.columns.get(position)?;
                column.place(cells.get(position)?.trim())
            };
            if let (Some(x), Some(y)) = (place(plot.x), place(plot.y)) {
                plot.add(x, y);
            }
        }
        if is_wanted && !self.table.is_cut {
            let kept: Vec<String> =
                self.table.shown.iter().map(|at| cells.get(*at).cloned().unwrap_or_default()).collect();
            self.cell_bytes += kept.iter().map(|text| text.len() + 24).sum::<usize>();
            self.table.is_cut =
                self.cell_bytes > MOST_CELL_BYTES || self.table.rows.len() as u64 >= MOST_ROWS;
            if !self.table.is_cut {
                self.table.rows.push(kept);
            }
        }
        if row.is_multiple_of(ROWS_BETWEEN_LOOKS) && self.started.elapsed() > LONGEST_SCAN {
            self.is_late = true;
            return false;
        }
        let needs_all = self.wanted.facts || self.wanted.plot;
        needs_all || row + 1 < self.wanted.rows.end
    }
}

fn cell(dialect: &Dialect, field: &[u8]) -> String {
    let kept = field.get(..LONGEST_CELL).unwrap_or(field);
    dialect.text(kept)
}

#[cfg(test)]
mod tests {
    use d1_catalog::d1_metadata::{Attribute, Code, Entity};

    use super::super::dialect::Dialect;
    use super::{Kind, ScanError, Table, Wanted, scan};

    fn attribute(name: &str, scale: &str) -> Attribute {
        let mut attribute = Attribute::default();
        attribute.name = name.to_owned();
        attribute.scale = Some(scale.to_owned());
        attribute
    }

    fn read(text: &str, entity: Option<&Entity>, wanted: &Wanted) -> Result<Table, ScanError> {
        let dialect = Dialect::of(entity.and_then(|entity| entity.csv.as_ref()), "text/csv", text.as_bytes());
        scan(text.as_bytes(), &dialect, entity, wanted, true)
    }

    fn all() -> Wanted {
        Wanted { rows: 0..100, facts: true, ..Wanted::default() }
    }

    #[test]
    fn a_plain_table_is_typed_by_its_values() {
        let text = "\u{feff}day,depth,name\n2020-01-01,1.5,a\n2020-01-02,NA,\"b,\"\"c\"\n,3,a\n";
        let table = read(text, None, &all()).unwrap();
        let kinds: Vec<_> = table.columns.iter().map(super::Column::kind).collect();
        assert_eq!(kinds, [Kind::Time, Kind::Number, Kind::Text]);
        assert_eq!((table.count, table.is_complete), (3, true));
        assert_eq!(table.rows[1], ["2020-01-02", "NA", "b,\"c"]);
        assert_eq!((table.columns[1].missing, table.columns[1].numbers), (1, 2));
        assert_eq!(table.columns[2].texts.get("a"), Some(&2));
    }

    #[test]
    fn a_first_line_with_numbers_is_a_record() {
        let table = read("1,2\n3,4\n", None, &all()).unwrap();
        assert_eq!((table.count, table.columns[1].name.as_str()), (2, "column 2"));
        assert_eq!(read("", None, &all()).unwrap().count, 0);
    }

    #[test]
    fn metadata_declare_header_lines_types_codes_and_bounds() {
        let mut entity = Entity::default();
        let mut depth = attribute("depth", "ratio");
        (depth.minimum, depth.maximum) = (Some("10".to_owned()), Some("0".to_owned()));
        depth.missing = vec!["-9999".to_owned()];
        let mut kind = attribute("kind", "nominal");
        kind.codes = vec![Code { code: "a".to_owned(), definition: String::new() }];
        let mut time = attribute("time", "dateTime");
        time.date_format = Some("MM/DD/YYYY".to_owned());
        entity.attributes = vec![depth, kind, time];
        let mut csv = d1_catalog::d1_metadata::CsvDialect::default();
        (csv.header_lines, csv.footer_lines) = (Some(3), Some(1));
        entity.csv = Some(csv);
        let text = "made by \"hand\nDepth,kind, TIME\nm,,\n1,a,01/31/2020\n-9999.0,b,31/01/2020\n11,a,\nend of file\n";
        let table = read(text, Some(&entity), &all()).unwrap();
        assert_eq!(table.names, ["Depth", "kind", "TIME"]);
        assert_eq!(table.count, 3);
        let [depth, kind, time] = table.columns.as_slice() else { panic!("three columns") };
        assert_eq!((depth.missing, depth.outside.count, depth.kind()), (1, 1, Kind::Number));
        assert_eq!(depth.outside.first, Some((2, "11".to_owned())));
        assert_eq!((kind.unknown.count, kind.unknown.first.clone()), (1, Some((1, "b".to_owned()))));
        assert_eq!((time.unreadable.count, time.times), (1, 1));
    }

    /// 22 lines before the data, a name twice, empty columns at the end, and fewer attributes than columns.
    #[test]
    fn odd_tables_are_shown_as_they_are() {
        let mut entity = Entity::default();
        entity.attributes = vec![attribute("year", "interval"), attribute("count", "ratio")];
        let csv = d1_catalog::d1_metadata::CsvDialect { header_lines: Some(22), ..Default::default() };
        entity.csv = Some(csv);
        let text = format!("{}year,year,,\n2001,7,,\n2002,8,,\n", "# about the station\n".repeat(21));
        let table = read(&text, Some(&entity), &all()).unwrap();
        assert_eq!(table.count, 2);
        assert_eq!(table.rows, [["2001", "7", "", ""], ["2002", "8", "", ""]]);
        assert_eq!(table.names, ["year", "year", "column 3", "column 4"]);
        assert_eq!((table.columns[0].numbers, table.columns[1].numbers), (2, 2));
        assert_eq!((table.columns[3].values, table.columns[3].missing), (0, 2));
        // The second attribute belongs to no column: names count before places.
        assert!(table.columns[0].attribute.is_some() && table.columns[3].attribute.is_none());
        assert_eq!(table.ragged, None);
    }

    #[test]
    fn rows_and_columns_are_chosen() {
        let wanted =
            Wanted { rows: 1..3, columns: vec!["b".to_owned(), "A".to_owned()], ..Wanted::default() };
        let table = read("a,b\n1,x\n2,y\n3,z\n4,w\n", None, &wanted).unwrap();
        assert_eq!(table.rows, [["y", "2"], ["z", "3"]]);
        assert!(!table.is_complete);
        let unknown = Wanted { columns: vec!["c".to_owned()], ..all() };
        assert!(
            matches!(read("a,b\n1,2\n", None, &unknown), Err(ScanError::UnknownColumn(names)) if names == "a, b")
        );
    }

    #[test]
    fn hostile_tables_stay_within_their_bounds() {
        let wide = ",".repeat(100_000);
        assert!(read(&wide, None, &all()).unwrap().columns.len() <= super::MOST_COLUMNS);
        let long = format!("a\n{}\n", "x".repeat(1 << 20));
        assert!(read(&long, None, &all()).unwrap().rows[0][0].len() <= super::LONGEST_CELL);
        let open = format!("a\n\"{}", "y\n".repeat(1000));
        assert_eq!(read(&open, None, &all()).unwrap().count, 1);
        let ragged = read("a,b\n1\n1,2,3\n1,2\n", None, &all()).unwrap();
        assert_eq!(ragged.ragged, Some((2, 0)));
    }
}

//! The way in which a table is written, from its metadata, else from its first lines.

use d1_catalog::d1_metadata::CsvDialect;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// The way in which a table is written.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: Option<u8>,
    /// Lines before the records, if the metadata state their number.
    pub(super) header_lines: Option<usize>,
    pub(super) footer_lines: usize,
    /// Whether adjacent delimiters count as one.
    pub(super) collapses: bool,
    pub(super) encoding: &'static Encoding,
}

/// The most lines before and behind the records.
const MOST_LINES: u64 = 1000;

impl Dialect {
    /// Returns the dialect of a table that begins with these bytes.
    pub(crate) fn of(declared: Option<&CsvDialect>, media_type: &str, sample: &[u8]) -> Self {
        let default = CsvDialect::default();
        let declared = declared.unwrap_or(&default);
        let lines = |count: Option<u64>| count.and_then(|count| usize::try_from(count.min(MOST_LINES)).ok());
        let delimiter = declared.field_delimiter.as_deref().and_then(character);
        let label = declared.encoding.as_deref().map(str::trim).unwrap_or_default();
        Self {
            delimiter: delimiter.unwrap_or_else(|| likely_delimiter(media_type, sample)),
            quote: match declared.quote.as_deref().map(character) {
                Some(Some(quote)) => Some(quote),
                _ => Some(b'"'),
            },
            header_lines: lines(declared.header_lines),
            footer_lines: lines(declared.footer_lines).unwrap_or(0),
            collapses: declared.collapse_delimiters.unwrap_or(false),
            encoding: Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8),
        }
    }

    /// Returns a text of the table's encoding. Text that is not UTF-8 is read as Windows-1252, which contains Latin-1.
    pub(super) fn text(&self, bytes: &[u8]) -> String {
        if self.encoding == UTF_8 {
            return match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
            };
        }
        self.encoding.decode_without_bom_handling(bytes).0.into_owned()
    }

    /// Returns whether the bytes of signs such as the comma have their usual meaning.
    pub(super) fn is_ascii_compatible(&self) -> bool {
        self.encoding.is_ascii_compatible()
    }

    /// Returns a reader of records in this dialect.
    pub(super) fn reader<R: std::io::Read>(&self, input: R) -> csv::Reader<R> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(self.delimiter).has_headers(false).flexible(true);
        match self.quote {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        builder.from_reader(input)
    }

    /// Returns the fields of one line.
    pub(super) fn split(&self, line: &[u8]) -> Vec<String> {
        let mut reader = self.reader(line);
        let mut record = csv::ByteRecord::new();
        match reader.read_byte_record(&mut record) {
            Ok(true) => self.fields(&record).map(|field| self.text(field)).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the fields of a record. If adjacent delimiters count as one, there are no empty fields.
    pub(super) fn fields<'a>(&self, record: &'a csv::ByteRecord) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let collapses = self.collapses;
        record.iter().filter(move |field| !collapses || !field.is_empty())
    }
}

/// Returns the character that metadata name: itself, an escape, a code or a word.
fn character(text: &str) -> Option<u8> {
    if let [byte] = text.as_bytes() {
        return byte.is_ascii().then_some(*byte);
    }
    let trimmed = text.trim();
    if trimmed.is_empty() && !text.is_empty() {
        return text.bytes().next();
    }
    let lower = trimmed.to_ascii_lowercase();
    let code = |prefix: &str| {
        let digits = lower.strip_prefix(prefix)?.trim_end_matches(';');
        u8::from_str_radix(digits, 16).ok().filter(u8::is_ascii)
    };
    match lower.as_str() {
        "\\t" | "tab" | "tabs" => Some(b'\t'),
        "\\s" | "space" | "spaces" | "blank" => Some(b' '),
        "comma" | "commas" => Some(b','),
        "semicolon" => Some(b';'),
        "pipe" | "vertical bar" => Some(b'|'),
        "\\\"" | "double quote" | "double quotes" | "quotes" => Some(b'"'),
        "single quote" | "apostrophe" => Some(b'\''),
        _ => {
            code("0x").or_else(|| code("#x")).or_else(|| code("&#x")).or_else(|| code("\\x")).or_else(|| {
                if let [byte] = trimmed.as_bytes() { byte.is_ascii().then_some(*byte) } else { None }
            })
        }
    }
}

/// Returns the sign that is most frequent in the first line.
fn likely_delimiter(media_type: &str, sample: &[u8]) -> u8 {
    if media_type.starts_with("text/tab-separated-values") {
        return b'\t';
    }
    let line =
        sample.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    let count = |sign: u8| line.iter().filter(|byte| **byte == sign).count();
    let mut best = (b',', count(b','));
    for sign in [b'\t', b';', b'|'] {
        if count(sign) > best.1 {
            best = (sign, count(sign));
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use d1_catalog::d1_metadata::CsvDialect;

    use super::{Dialect, character};

    #[test]
    fn delimiters_in_all_spellings() {
        for (text, expected) in [
            (",", Some(b',')),
            ("\t", Some(b'\t')),
            ("\\t", Some(b'\t')),
            ("0x09", Some(b'\t')),
            ("#x2C", Some(b',')),
            ("&#x3b;", Some(b';')),
            (" , ", Some(b',')),
            ("  ", Some(b' ')),
            ("comma", Some(b',')),
            ("any white space", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(character(text), expected, "{text:?}");
        }
    }

    #[test]
    fn without_metadata_the_first_line_decides() {
        let delimiter = |media_type, sample: &str| Dialect::of(None, media_type, sample.as_bytes()).delimiter;
        assert_eq!(delimiter("text/csv", "a,b;c\n1;2;3;4;5"), b',');
        assert_eq!(delimiter("text/csv", "\na;b;c\n"), b';');
        assert_eq!(delimiter("text/tab-separated-values", "a,b"), b'\t');
        assert_eq!(delimiter("text/csv", ""), b',');
    }

    #[test]
    fn fields_are_decoded_and_white_space_collapses() {
        let declared = CsvDialect {
            field_delimiter: Some(" ".to_owned()),
            collapse_delimiters: Some(true),
            encoding: Some("ISO-8859-1".to_owned()),
            ..CsvDialect::default()
        };
        let dialect = Dialect::of(Some(&declared), "text/plain", b"");
        assert_eq!(dialect.split(b"1   2\xb0 \"a b\"\r\n"), ["1", "2°", "a b"]);
        assert_eq!(Dialect::of(None, "", b"").split(b"caf\xe9,\xc3\xa9"), ["café", "é"]);
    }
}

//! Tar headers: written as Go's `archive/tar` writes them, and read from any writer.
//!
//! `oras` is written in Go, and the digest of its tar archive identifies a directory layer. So the writer follows
//! Go's `Writer.WriteHeader` byte for byte, with owner 0, no names and the modification time 0: USTAR, and PAX
//! where USTAR is not enough.
//!
//! The reader accepts V7, USTAR, PAX and GNU fields as Go does. The `tar` crate cannot serve as the reader. It
//! splits PAX records at line ends, which breaks names that contain one, and reads extended headers of any size
//! into memory.

use crate::entry::EntryKind;

/// Size of a tar block in bytes (POSIX pax, "ustar Interchange Format").
pub(crate) const BLOCK: usize = 512;

const NAME_LENGTH: usize = 100;
const PREFIX_LENGTH: usize = 155;
/// The first size that does not fit into eleven octal digits: 8 GiB.
const OCTAL_SIZE_END: u64 = 1 << 33;

/// Returns the number of bytes that fill the last block of `size` bytes.
pub(crate) fn padding(size: u64) -> usize {
    let used = size % BLOCK as u64;
    // Less than a block.
    usize::try_from((BLOCK as u64 - used) % BLOCK as u64).unwrap_or(0)
}

/// Returns the header blocks of an entry.
pub(crate) fn header_bytes(path: &str, kind: EntryKind) -> Vec<u8> {
    let (type_flag, mode, size) = match kind {
        EntryKind::Directory => (b'5', 0o755, 0),
        EntryKind::File { size } => (b'0', 0o644, size),
    };
    let split = split_ustar_path(path);
    let path_fits = split.is_some() || (path.is_ascii() && path.len() <= NAME_LENGTH);
    let size_fits = size < OCTAL_SIZE_END;
    let mut bytes = Vec::new();
    let mut block = HeaderBlock::new(type_flag);
    if path_fits && size_fits {
        let (prefix, name) = split.unwrap_or(("", path));
        block.text(0..NAME_LENGTH, name);
        block.text(345..345 + PREFIX_LENGTH, prefix);
    } else {
        let mut records = String::new();
        // Go keeps the record of a long path that would have been split, once a PAX header is needed for the size.
        if path.len() > NAME_LENGTH || !path.is_ascii() {
            records.push_str(&pax_record("path", path));
        }
        if !size_fits {
            records.push_str(&pax_record("size", &size.to_string()));
        }
        push_extended_header(&mut bytes, path, &records);
        block.text(0..NAME_LENGTH, &ascii_only(path));
    }
    block.octal(100..108, mode);
    block.octal(124..136, if size_fits { size } else { 0 });
    block.octal(329..337, 0);
    block.octal(337..345, 0);
    bytes.extend_from_slice(&block.finish());
    bytes
}

/// Appends the PAX header (type `x`) that comes before the entry.
fn push_extended_header(bytes: &mut Vec<u8>, path: &str, records: &str) {
    let (directory, base) = path.rsplit_once('/').unwrap_or(("", path));
    let slash = if directory.is_empty() { "" } else { "/" };
    let mut name = ascii_only(&format!("{directory}{slash}PaxHeaders.0/{base}"));
    name.truncate(NAME_LENGTH);
    let mut block = HeaderBlock::new(b'x');
    block.text(0..NAME_LENGTH, name.trim_end_matches('/'));
    block.octal(100..108, 0);
    block.octal(124..136, records.len() as u64);
    bytes.extend_from_slice(&block.finish());
    bytes.extend_from_slice(records.as_bytes());
    bytes.resize(bytes.len() + padding(records.len() as u64), 0);
}

/// Splits a name that is too long for the name field into prefix and name, at the last slash that allows it.
fn split_ustar_path(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_LENGTH || !path.is_ascii() {
        return None;
    }
    let (prefix, _) = path.get(..path.len().min(PREFIX_LENGTH + 1))?.rsplit_once('/')?;
    let name = path.get(prefix.len() + 1..)?;
    (!prefix.is_empty() && !name.is_empty() && name.len() <= NAME_LENGTH).then_some((prefix, name))
}

/// Returns `LENGTH key=value\n`, where the length counts itself.
fn pax_record(key: &str, value: &str) -> String {
    let bare = key.len() + value.len() + " =\n".len();
    let digits = |number: usize| number.to_string().len();
    let mut length = bare + digits(bare);
    if bare + digits(length) != length {
        length = bare + digits(length);
    }
    format!("{length} {key}={value}\n")
}

fn ascii_only(text: &str) -> String {
    text.chars().filter(char::is_ascii).collect()
}

struct HeaderBlock([u8; BLOCK]);

impl HeaderBlock {
    fn new(type_flag: u8) -> Self {
        let mut block = Self([0; BLOCK]);
        block.0[156] = type_flag;
        block.0[257..265].copy_from_slice(b"ustar\x0000");
        block.octal(108..116, 0);
        block.octal(116..124, 0);
        block.octal(136..148, 0);
        block
    }

    /// Writes text, cut to the field. The closing NUL is left out where the text fills the field.
    fn text(&mut self, field: std::ops::Range<usize>, text: &str) {
        let field = &mut self.0[field];
        let length = text.len().min(field.len());
        field[..length].copy_from_slice(&text.as_bytes()[..length]);
        // Go does the same: some readers mistake a cut name that ends in a slash for a directory.
        if text.len() > field.len() && field[length - 1] == b'/' {
            let end = field[..length - 1].iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
            field[end] = 0;
        }
    }

    /// Writes zero-filled octal digits and a NUL.
    fn octal(&mut self, field: std::ops::Range<usize>, number: u64) {
        let width = field.len() - 1;
        let digits = format!("{number:0width$o}\0");
        self.0[field].copy_from_slice(digits.as_bytes());
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[148..156].fill(b' ');
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        // Six digits and a NUL. The field is filled with spaces, so one follows.
        self.octal(148..155, sum);
        self.0
    }
}

/// The fields of a header block, before extended headers are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarHeader {
    pub(crate) name: Vec<u8>,
    pub(crate) link_name: Vec<u8>,
    pub(crate) type_flag: u8,
    /// `None` if the field is not a number.
    pub(crate) size: Option<u64>,
}

/// The PAX records that this reader uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PaxRecords {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link_path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) sparse: bool,
}

/// Returns whether the block is all zeros.
pub(crate) fn is_zero(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// Returns whether a tar archive can begin with this block.
pub(crate) fn is_header_or_zero(block: &[u8; BLOCK]) -> bool {
    is_zero(block) || checksum_is_right(block)
}

/// Reads a header block, or returns `None` if its checksum is wrong.
pub(crate) fn parse_header(block: &[u8; BLOCK]) -> Option<TarHeader> {
    if !checksum_is_right(block) {
        return None;
    }
    let mut name = text(&block[..100]).to_vec();
    let is_ustar = &block[257..263] == b"ustar\0";
    let prefix = text(&block[345..500]);
    if is_ustar && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Some(TarHeader {
        name,
        link_name: text(&block[157..257]).to_vec(),
        type_flag: block[156],
        size: number(&block[124..136]),
    })
}

/// Reads the records of a PAX extended header, `LENGTH key=value\n` each, or returns `None` if they are malformed.
pub(crate) fn parse_pax(mut data: &[u8]) -> Option<PaxRecords> {
    let mut records = PaxRecords::default();
    while !data.is_empty() {
        let space = data.iter().take(20).position(|&byte| byte == b' ')?;
        let length: usize = std::str::from_utf8(data.get(..space)?).ok()?.parse().ok()?;
        let record = data.get(space + 1..length)?.strip_suffix(b"\n")?;
        data = data.get(length..)?;
        let equals = record.iter().position(|&byte| byte == b'=')?;
        let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
        // An empty value revokes an earlier one.
        let given = (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => records.path = given,
            b"linkpath" => records.link_path = given,
            b"size" if value.is_empty() => records.size = None,
            b"size" => records.size = Some(decimal(value)?),
            _ if key.starts_with(b"GNU.sparse.") => records.sparse = true,
            _ => {}
        }
    }
    Some(records)
}

fn decimal(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok().filter(|&size| i64::try_from(size).is_ok())
}

/// Compares the sum of all bytes, with the checksum's own bytes as spaces. Old writers summed signed bytes.
fn checksum_is_right(block: &[u8; BLOCK]) -> bool {
    let Some(declared) = number(&block[148..156]).and_then(|sum| i64::try_from(sum).ok()) else {
        return false;
    };
    let (mut unsigned, mut signed) = (0_i64, 0_i64);
    for (position, &byte) in block.iter().enumerate() {
        let byte = if (148..156).contains(&position) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    declared == unsigned || declared == signed
}

/// Returns the bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Reads octal digits with blanks around them, or GNU's binary form; a blank field is 0.
fn number(field: &[u8]) -> Option<u64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let start = u64::from(first & 0x3f);
        let sum = rest.iter().try_fold(start, |sum, &byte| Some(sum.checked_mul(256)? | u64::from(byte)))?;
        return (!negative && i64::try_from(sum).is_ok()).then_some(sum);
    }
    let digits = text(field).trim_ascii();
    if digits.is_empty() {
        return Some(0);
    }
    if !digits.iter().all(|byte| (b'0'..=b'7').contains(byte)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok().filter(|&sum| i64::try_from(sum).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;

    fn name_fields(path: &str) -> (String, String) {
        let bytes = header_bytes(path, EntryKind::File { size: 1 });
        let block = &bytes[bytes.len() - BLOCK..];
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8(block[range].split(|&b| b == 0).next().unwrap().to_vec()).unwrap()
        };
        (text(345..500), text(0..100))
    }

    #[test]
    fn a_plain_header_has_every_field_in_its_place() {
        let block = header_bytes("pkg/a.csv", EntryKind::File { size: 0o1234 });
        assert_eq!(block.len(), BLOCK);
        assert_eq!(&block[..10], b"pkg/a.csv\0");
        assert_eq!(&block[100..148], b"0000644\x000000000\x000000000\x0000000001234\x0000000000000\0");
        assert_eq!(&block[154..157], b"\0 0");
        assert_eq!(&block[257..265], b"ustar\x0000");
        assert_eq!(&block[329..345], b"0000000\x000000000\0");
        let directory = header_bytes("pkg", EntryKind::Directory);
        assert_eq!((directory[156], &directory[100..108]), (b'5', &b"0000755\0"[..]));
    }

    #[test]
    fn long_names_are_split_at_the_last_slash_that_fits() {
        let d60 = "d".repeat(60);
        let n100 = "n".repeat(100);
        let cases = [
            (n100.clone(), Some(("", n100.as_str()))),
            (format!("{d60}/{n100}"), Some((d60.as_str(), n100.as_str()))),
            (format!("{n100}x"), None),
            (format!("{d60}/{n100}x"), None),
            (format!("é{d60}/{n100}"), None),
        ];
        for (path, fields) in cases {
            let length = header_bytes(&path, EntryKind::File { size: 1 }).len();
            assert_eq!(length == BLOCK, fields.is_some(), "{path}");
            if let Some((prefix, name)) = fields {
                assert_eq!(name_fields(&path), (prefix.to_owned(), name.to_owned()));
            }
        }
    }

    #[test]
    fn what_does_not_fit_goes_into_an_extended_header() {
        let bytes = header_bytes("pkg/Größe", EntryKind::File { size: OCTAL_SIZE_END });
        assert_eq!(bytes.len(), 3 * BLOCK);
        assert_eq!(&bytes[..25], b"pkg/PaxHeaders.0/Gre\0\0\0\0\0");
        assert_eq!(bytes[156], b'x');
        let records = "20 path=pkg/Größe\n19 size=8589934592\n";
        assert_eq!(&bytes[BLOCK..BLOCK + records.len()], records.as_bytes());
        assert_eq!(&bytes[2 * BLOCK..2 * BLOCK + 8], b"pkg/Gre\0");
        assert_eq!(&bytes[2 * BLOCK + 124..2 * BLOCK + 136], b"00000000000\0");
    }

    #[test]
    fn headers_of_huge_files_are_those_of_go() {
        // SHA-256 of what `Writer.WriteHeader` of Go 1.26 writes; no test can push such a file through `oras`.
        let split = format!("{}/{}", "d".repeat(60), "n".repeat(100));
        let unsplit = format!("{}/{}", "d".repeat(160), "n".repeat(20));
        let cases = [
            ("pkg/Größe", "4b0a88aa809e73a2d4906444cf101e7defbcad38cd3f6503083d2e2dd9b838eb"),
            ("pkg/big.nc", "f1369fa3b63be31ab188aede990b249aa5f8c42736bfdc4bf5b967526c504b96"),
            (&split, "03fcb4f31f3afe0799e112a0d26f035b1c5219cb632035cffadce7ddb51db5e1"),
            (&unsplit, "f36eb4bb7d1a3d05c6eeb3c508c8ce683229cb824e721dea9b1a277683992d38"),
        ];
        for (path, expected) in cases {
            let bytes = header_bytes(path, EntryKind::File { size: 8 << 30 });
            assert_eq!(oci_model::Digest::sha256_of(&bytes).encoded(), expected, "{path}");
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for (value, length) in [(1, 9), (2, 11), (90, 99), (91, 101), (989, 999), (990, 1001)] {
            let record = pax_record("path", &"v".repeat(value));
            assert!(record.starts_with(&format!("{length} ")), "{value}: {record}");
            assert_eq!(record.len(), length);
        }
    }

    #[test]
    fn numbers_are_octal_or_binary() {
        let cases: [(&[u8], Option<u64>); 11] = [
            (b"0000644\0", Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"00000000017\0", Some(15)),
            (b"77777777777", Some(0o77_777_777_777)),
            (&[0; 12], Some(0)),
            (b"        ", Some(0)),
            (b"0x10\0", None),
            (b"-1\0", None),
            (&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1], Some((2 << 32) + 1)),
            (&[0xff; 12], None),
            (&[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], None),
        ];
        for (field, expected) in cases {
            assert_eq!(number(field), expected, "{field:?}");
        }
    }

    #[test]
    fn records_may_hold_line_ends_and_equals_signs() {
        let records = parse_pax(b"13 path=a\nb=\n12 size=123\n30 mtime=1350244992.023960108\n").unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a\nb="[..]));
        assert_eq!(records.size, Some(123));
    }

    #[test]
    fn malformed_records_are_refused() {
        for data in [
            &b"x"[..],
            b"12 path=a",
            b"9 path=a ",
            b"0 path=a\n",
            b"1 path=a\n",
            b"9 pathxa\n",
            b"99999999999999999999999 path=a\n",
            b"18446744073709551615 path=a\n",
            b"10 size=x1\n",
            b"10 size=+1\n",
            b"29 size=99999999999999999999\n",
        ] {
            assert_eq!(parse_pax(data), None, "{}", data.escape_ascii());
        }
        assert!(parse_pax(b"9 path=a\n9 path=b\n").unwrap().path == Some(b"b".to_vec()));
        assert!(parse_pax(b"9 path=a\n8 path=\n").unwrap().path.is_none());
        assert!(parse_pax(b"22 GNU.sparse.major=1\n").unwrap().sparse);
    }

    proptest! {
        #[test]
        fn headers_read_as_the_tar_crate_reads_them(
            name in "[a-z/]{1,100}", prefix in "[a-z]{0,155}", size in 0..1_u64 << 33
        ) {
            let mut header = tar::Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.as_mut_bytes()[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
            header.set_size(size);
            header.set_cksum();
            let found = parse_header(header.as_bytes()).unwrap();
            prop_assert_eq!(found.name, header.path_bytes().into_owned());
            prop_assert_eq!(found.size, Some(size));
        }

        #[test]
        fn parsing_never_panics(mut block in proptest::collection::vec(any::<u8>(), BLOCK), pax in any::<Vec<u8>>()) {
            parse_pax(&pax);
            let block: &mut [u8; BLOCK] = block.as_mut_slice().first_chunk_mut().unwrap();
            parse_header(block);
            let mut sum: u64 = block.iter().map(|&b| u64::from(b)).sum();
            sum = sum + 8 * 32 - block[148..156].iter().map(|&b| u64::from(b)).sum::<u64>();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            assert!(parse_header(block).is_some());
        }
    }
}

//! Tar headers of any writer: V7, USTAR, PAX and GNU fields, read as Go's `archive/tar` reads them.
//!
//! The `tar` crate splits PAX records at line ends, which breaks names that hold one, and reads extended headers of any
//! size into memory; so headers are read here.

use crate::tar_header::BLOCK;

/// What a header block says, before extended headers are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TarHeader {
    pub(crate) name: Vec<u8>,
    pub(crate) link_name: Vec<u8>,
    pub(crate) type_flag: u8,
    /// `None` if the field is no number.
    pub(crate) size: Option<u64>,
}

/// The records of a PAX extended header that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PaxRecords {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link_path: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) sparse: bool,
}

/// Tells whether the block is all zeros.
pub(crate) fn is_zero(block: &[u8; BLOCK]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

/// Tells whether a tar archive can begin with this block.
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
        // An empty value takes an earlier one back.
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

/// Compares the sum of all bytes, the checksum's own taken as spaces; old writers summed signed bytes.
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

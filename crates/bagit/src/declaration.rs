//! The bag declaration, `bagit.txt` (RFC 8493, section 2.1.1).

use crate::fault::{Fault, FaultCode, Severity};
use crate::text::lines;
use crate::version::Version;

pub(crate) const FILE_NAME: &str = "bagit.txt";
const VERSION_LABEL: &str = "BagIt-Version";
const ENCODING_LABEL: &str = "Tag-File-Character-Encoding";

/// The content of `bagit.txt`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// The version, where the file has a readable one.
    pub version: Option<Version>,
    /// The encoding of the other tag files, as the file spells it.
    pub encoding: Option<String>,
}

impl Declaration {
    /// Reads `bagit.txt` and returns its faults.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> (Self, Vec<Fault>) {
        let mut reader = Reader { declaration: Self::default(), faults: Vec::new(), loose_lines: Vec::new() };
        reader.read(bytes);
        (reader.declaration, reader.faults)
    }

    /// Returns the text of a declaration of version 1.0 in UTF-8.
    #[must_use]
    pub fn text() -> String {
        format!("{VERSION_LABEL}: {}\n{ENCODING_LABEL}: UTF-8\n", Version::V1_0)
    }
}

struct Reader {
    declaration: Declaration,
    faults: Vec<Fault>,
    loose_lines: Vec<usize>,
}

impl Reader {
    fn read(&mut self, bytes: &[u8]) {
        let rest = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]).or_else(|| {
            // A UTF-16 mark is the fault to report, although the text behind it is not UTF-8 either.
            bytes.strip_prefix(&[0xFE, 0xFF]).or_else(|| bytes.strip_prefix(&[0xFF, 0xFE]))
        });
        if rest.is_some() {
            self.fault(FaultCode::BagitTxtBom, "bagit.txt begins with a byte-order mark");
        }
        let Ok(text) = std::str::from_utf8(rest.unwrap_or(bytes)) else {
            self.fault(FaultCode::BagitTxtNotUtf8, "bagit.txt is not UTF-8");
            return;
        };
        let all: Vec<&str> = lines(text).take(3).map(|(_, line)| line).collect();
        if let Some(value) = self.value(&all, 0, VERSION_LABEL) {
            match value.parse() {
                Ok(version) => self.declaration.version = Some(version),
                Err(error) => self.fault(FaultCode::VersionMalformed, error.to_string()),
            }
        }
        self.declaration.encoding = self.value(&all, 1, ENCODING_LABEL);
        if let Some(extra) = all.get(2) {
            self.fault(
                FaultCode::BagitTxtMalformed,
                format!("bagit.txt has more than two lines, line 3 is {extra:?}"),
            );
        }
        self.report_white_space();
    }

    fn value(&mut self, all: &[&str], index: usize, label: &str) -> Option<String> {
        let number = index + 1;
        let Some(line) = all.get(index) else {
            self.fault(
                FaultCode::BagitTxtMalformed,
                format!("expected `{label}: …` in line {number} of bagit.txt, found no such line"),
            );
            return None;
        };
        let found = line.split_once(':').filter(|(key, _)| key.trim().eq_ignore_ascii_case(label));
        let Some((key, value)) = found else {
            self.fault(
                FaultCode::BagitTxtMalformed,
                format!("expected `{label}: …` in line {number} of bagit.txt, found {line:?}"),
            );
            return None;
        };
        if key.trim() != label {
            let message = format!("line {number} of bagit.txt spells `{label}` as `{}`", key.trim());
            self.fault(FaultCode::BagitTxtLabelCase, message);
        }
        let trimmed = value.trim();
        if key != key.trim() || value.strip_prefix(' ') != Some(trimmed) {
            self.loose_lines.push(number);
        }
        if trimmed.is_empty() {
            self.fault(FaultCode::BagitTxtMalformed, format!("line {number} of bagit.txt has no value"));
            return None;
        }
        Some(trimmed.to_owned())
    }

    fn report_white_space(&mut self) {
        if self.loose_lines.is_empty() {
            return;
        }
        let strict = self.declaration.version.is_none_or(Version::is_rfc);
        let message = format!(
            "bagit.txt must have exactly one space after each colon, unlike lines {:?}",
            self.loose_lines
        );
        let fault = Fault::new(FaultCode::BagitTxtWhitespace, Some(FILE_NAME), message);
        self.faults.push(if strict { fault } else { fault.with_severity(Severity::Warning) });
    }

    fn fault(&mut self, code: FaultCode, message: impl Into<String>) {
        self.faults.push(Fault::new(code, Some(FILE_NAME), message));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::Declaration;
    use crate::version::Version;

    fn codes(bytes: &[u8]) -> Vec<&'static str> {
        Declaration::parse(bytes).1.iter().map(|fault| fault.code.as_str()).collect()
    }

    #[test]
    fn what_is_written_reads_back_without_fault() {
        let (declaration, faults) = Declaration::parse(Declaration::text().as_bytes());
        assert_eq!(declaration.version, Some(Version::V1_0));
        assert_eq!(declaration.encoding.as_deref(), Some("UTF-8"));
        assert!(faults.is_empty());
    }

    #[test]
    fn each_deviation_has_its_code() {
        let cases: [(&[u8], &[&str]); 15] = [
            (b"BagIt-Version: 1.0\rTag-File-Character-Encoding: UTF-8", &[]),
            (b"BagIt-Version: 0.97\r\nTag-File-Character-Encoding: UTF-8\r\n", &[]),
            (b"BagIt-Version: 1.0\n", &["bagit-txt-malformed"]),
            (b"Tag-File-Character-Encoding: UTF-8\nBagIt-Version: 1.0\n", &["bagit-txt-malformed"; 2]),
            (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\nX: y\n", &["bagit-txt-malformed"]),
            (b"BagIt-Version: 1.0\n\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-malformed"; 2]),
            (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: \n", &["bagit-txt-malformed"]),
            (b"BagIt-version: 1.0\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-label-case"]),
            (b"BagIt-Version : 1.0\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-whitespace"]),
            (b"BagIt-Version:1.0\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-whitespace"]),
            (b"BagIt-Version: 1.0 \nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-whitespace"]),
            (b"BagIt-Version:  0.97\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-whitespace"]),
            (b"BagIt-Version: .97\nTag-File-Character-Encoding: UTF-8\n", &["version-malformed"]),
            (b"\xEF\xBB\xBFBagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n", &["bagit-txt-bom"]),
            (b"BagIt-Version: 1.0\nTag-File-Character-Encoding: \xFF\n", &["bagit-txt-not-utf8"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(codes(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn white_space_is_tolerated_before_1_0() {
        let (declaration, faults) =
            Declaration::parse(b"BagIt-Version :  0.97\nTag-File-Character-Encoding: UTF-8 ");
        assert_eq!(declaration.version, Some(Version::V0_97));
        assert!(faults.iter().all(|fault| fault.severity == crate::Severity::Warning));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = Declaration::parse(&bytes);
        }

        #[test]
        fn any_version_round_trips(major in any::<u16>(), minor in any::<u16>()) {
            let text = format!("BagIt-Version: {major}.{minor}\nTag-File-Character-Encoding: UTF-8\n");
            let (declaration, faults) = Declaration::parse(text.as_bytes());
            assert_eq!(declaration.version, Some(Version { major, minor }));
            assert!(faults.is_empty());
        }
    }
}

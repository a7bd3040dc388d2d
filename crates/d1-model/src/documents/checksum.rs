//! The document that states one checksum, the answer of `getChecksum`.

use std::io;

use crate::checksum::Checksum;
use crate::error::{ErrorKind, Result};
use crate::oddity::Parsed;
use crate::values::read_checksum;
use crate::xml::{DocumentKind, NAMESPACE_V1, XmlWriter, read_document};

const KIND: DocumentKind =
    DocumentKind { name: "checksum", root: "checksum", namespaces: &[NAMESPACE_V1], max_bytes: 64 * 1024 };

impl Checksum {
    /// Reads a `checksum` document.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not well-formed XML in UTF-8, define entities, are more than 64 KiB, have another root
    /// element, or name no algorithm or no value.
    pub fn parse_xml(bytes: &[u8]) -> Result<Parsed<Self>> {
        read_document(KIND, bytes, |cursor, root| {
            read_checksum(cursor, root)?.ok_or_else(|| {
                cursor.error(ErrorKind::Missing, "", "the document names no algorithm or no value")
            })
        })
    }

    /// Writes a `checksum` document.
    ///
    /// # Errors
    ///
    /// Fails when a text cannot be written in XML, or when writing to `out` fails.
    pub fn write_xml(&self, out: impl io::Write) -> Result<()> {
        let attributes = [("xmlns:d1", NAMESPACE_V1), ("algorithm", self.algorithm().name())];
        XmlWriter::new(out, KIND.name)?.leaf("d1:checksum", &attributes, self.value())
    }
}

#[cfg(test)]
mod tests {
    use crate::checksum::{Checksum, ChecksumAlgorithm};
    use crate::error::ErrorKind;
    use crate::oddity::OddityCode;

    #[test]
    fn a_checksum_reads_back() {
        let checksum = Checksum::new(ChecksumAlgorithm::Sha1, "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3");
        let mut bytes = Vec::new();
        checksum.write_xml(&mut bytes).unwrap();
        let parsed = Checksum::parse_xml(&bytes).unwrap();
        assert_eq!(parsed.oddities, []);
        assert_eq!(parsed.value, checksum);
    }

    #[test]
    fn what_is_odd_and_what_does_not_do() {
        let parsed = Checksum::parse_xml(b"<checksum algorithm='sha1'> 00 </checksum>").unwrap();
        for code in [
            OddityCode::Namespace,
            OddityCode::AlgorithmSpelling,
            OddityCode::MalformedChecksum,
            OddityCode::SurroundingWhitespace,
        ] {
            assert!(parsed.has(code), "{code}");
        }
        for document in ["<checksum>00</checksum>", "<checksum algorithm='MD5'/>"] {
            assert_eq!(Checksum::parse_xml(document.as_bytes()).unwrap_err().kind(), ErrorKind::Missing);
        }
    }
}

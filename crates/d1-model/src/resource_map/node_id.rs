//! Names of blank nodes that a strict RDF/XML parser would refuse.

use std::io::{self, Read};

/// Passes a document through and changes the values of `nodeID` attributes to valid XML names.
///
/// The R package `datapack` wrote `rdf:nodeID="_:r1500"` until 2017, and XML does not allow `:` there. Each byte
/// stays one byte, so positions in the document stay right.
pub(super) struct NodeIdReader<R> {
    inner: R,
    place: Place,
    repaired: u64,
}

/// The position of the next byte in the document's structure.
#[derive(Clone, Copy)]
enum Place {
    Text,
    /// In a tag, after this many letters of `nodeID`.
    Tag {
        matched: usize,
    },
    /// In the value of an attribute, which ends with `quote`.
    Value {
        quote: u8,
        is_node_id: bool,
        is_first: bool,
    },
}

const NODE_ID: &[u8] = b"nodeID";

impl<R> NodeIdReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, place: Place::Text, repaired: 0 }
    }

    /// Returns the number of bytes that were replaced.
    pub(super) fn repaired(&self) -> u64 {
        self.repaired
    }

    fn pass(&mut self, byte: u8) -> u8 {
        let (place, passed) = match self.place {
            Place::Text if byte == b'<' => (Place::Tag { matched: 0 }, byte),
            Place::Text => (Place::Text, byte),
            // Comments, declarations and instructions have no attributes.
            Place::Tag { .. } if matches!(byte, b'>' | b'!' | b'?') => (Place::Text, byte),
            Place::Tag { matched } => (Self::in_tag(matched, byte), byte),
            Place::Value { quote, .. } if byte == quote => (Place::Tag { matched: 0 }, byte),
            Place::Value { quote, is_node_id: true, is_first } => {
                let value = Place::Value { quote, is_node_id: true, is_first: false };
                (value, if is_allowed(byte, is_first) { byte } else { b'_' })
            }
            value @ Place::Value { .. } => (value, byte),
        };
        self.place = place;
        self.repaired = self.repaired.saturating_add(u64::from(passed != byte));
        passed
    }

    fn in_tag(matched: usize, byte: u8) -> Place {
        let is_whole = matched == NODE_ID.len();
        match byte {
            b'"' | b'\'' => Place::Value { quote: byte, is_node_id: is_whole, is_first: true },
            b'=' | b' ' | b'\t' | b'\r' | b'\n' if is_whole => Place::Tag { matched },
            _ if NODE_ID.get(matched) == Some(&byte) => Place::Tag { matched: matched + 1 },
            _ => Place::Tag { matched: usize::from(NODE_ID.first() == Some(&byte)) },
        }
    }
}

/// Returns whether a byte may be in a name without a colon (Namespaces in XML, production `NCName`).
fn is_allowed(byte: u8, is_first: bool) -> bool {
    let is_start = byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii();
    is_start || !is_first && (byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
}

impl<R: Read> Read for NodeIdReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        for byte in buffer.iter_mut().take(count) {
            *byte = self.pass(*byte);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::NodeIdReader;

    fn passed(text: &str) -> (String, u64) {
        let mut reader = NodeIdReader::new(text.as_bytes());
        let mut out = String::new();
        reader.read_to_string(&mut out).unwrap();
        (out, reader.repaired())
    }

    #[test]
    fn only_values_of_node_ids_change() {
        for (text, expected, repaired) in [
            (r#"<a rdf:nodeID="_:r1"/>"#, r#"<a rdf:nodeID="__r1"/>"#, 1),
            ("<a nodeID = '1:b c'>x:y</a>", "<a nodeID = '__b_c'>x:y</a>", 3),
            (
                r#"<a nodeIDs="a:b" xnodeID="ok" about="u:v">nodeID="a:b"</a>"#,
                r#"<a nodeIDs="a:b" xnodeID="ok" about="u:v">nodeID="a:b"</a>"#,
                0,
            ),
            (
                r#"<!-- it's nodeID="a:b" --><a x='>' nodeID="é:ö"/>"#,
                r#"<!-- it's nodeID="a:b" --><a x='>' nodeID="é_ö"/>"#,
                1,
            ),
            (r#"<a about="nodeID" other="a:b"/>"#, r#"<a about="nodeID" other="a:b"/>"#, 0),
        ] {
            assert_eq!(passed(text), (expected.to_owned(), repaired), "{text}");
        }
    }
}

//! Percent-encoding of identifiers as one segment of a URL path.

use super::IdentifierError;

/// Encodes a text as one segment of a URL path.
///
/// Letters, digits and `-_.~:@$!()',*&=` stay as they are; every other byte of the UTF-8 text becomes `%XX`. This is
/// the set of RFC 3986 `pchar` without `+` and `;`, which the DataONE clients encode as well (golden file
/// `testUnicodeStrings.utf8.txt` of `d1_common_java`).
#[must_use]
pub fn encode_path_segment(text: &str) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_unescaped(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded
                .extend([byte >> 4, byte & 0x0f].iter().filter_map(|digit| DIGITS.get(usize::from(*digit))));
        }
    }
    encoded
}

/// Decodes one segment of a URL path.
///
/// A `+` stays a `+`: it means a space only in query strings. A `/` is allowed, because the caller has already
/// split the path.
///
/// # Errors
///
/// Fails when a `%` is not followed by two hexadecimal digits, or when the decoded bytes are not UTF-8.
pub fn decode_path_segment(segment: &str) -> Result<String, IdentifierError> {
    let bad = || IdentifierError::BadPathEncoding { segment: segment.to_owned() };
    let mut decoded = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = hex_digit(bytes.next()).ok_or_else(bad)?;
            let low = hex_digit(bytes.next()).ok_or_else(bad)?;
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map_err(|_| bad())
}

fn is_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~:@$!()',*&=".contains(&byte)
}

fn hex_digit(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

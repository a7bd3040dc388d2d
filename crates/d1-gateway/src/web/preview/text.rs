//! Texts with numbered lines, JSON with indentation, and bytes in hexadecimal.

use encoding_rs::WINDOWS_1252;
use serde_json::Value;

use super::{HexRow, TEXT_BYTES, Text};
use crate::web::page::{bytes, counted};

/// The most lines of a preview, and the longest of them in characters.
const MOST_LINES: usize = 1000;
const LONGEST_LINE: usize = 2000;

/// Returns the lines of a text that begins with these bytes.
pub(super) fn plain(first: &[u8], size: u64) -> Text {
    let is_part = (first.len() as u64) < size;
    let mut kept = first;
    if is_part && let Some(end) = first.iter().rposition(|byte| *byte == b'\n') {
        // The last line is not whole.
        kept = first.get(..=end).unwrap_or(first);
    }
    let (text, encoding) = decoded(kept);
    let (lines, is_cut) = lines(&text);
    let mut note = match is_part || is_cut {
        true => format!("The first {} of {}.", counted(lines.len() as u64, "line", "lines"), bytes(size)),
        false => format!("All {}.", counted(lines.len() as u64, "line", "lines")),
    };
    note += encoding;
    Text { lines, note }
}

/// Returns a JSON document with indentation. A broken one comes as it is.
pub(super) fn json(document: &[u8]) -> Text {
    let size = document.len() as u64;
    let Ok(value) = serde_json::from_slice::<Value>(document) else {
        let first = document.get(..usize::try_from(TEXT_BYTES).unwrap_or(usize::MAX)).unwrap_or(document);
        let mut text = plain(first, size);
        text.note += " This is not valid JSON.";
        return text;
    };
    let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
    let end = pretty.floor_char_boundary(usize::try_from(TEXT_BYTES).unwrap_or(usize::MAX));
    let (lines, is_cut) = lines(pretty.get(..end).unwrap_or(&pretty));
    let amount = if is_cut || end < pretty.len() { "The first" } else { "All" };
    let note = format!("{amount} {}, indented here.", counted(lines.len() as u64, "line", "lines"));
    Text { lines, note }
}

fn decoded(bytes: &[u8]) -> (String, &'static str) {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), ""),
        // A character that is cut at the end does not make the text another encoding.
        Err(error) if error.error_len().is_none() => {
            (String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or(bytes)).into_owned(), "")
        }
        Err(_) => (
            WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
            " The text is not UTF-8; it is shown as Windows-1252.",
        ),
    }
}

fn lines(text: &str) -> (Vec<String>, bool) {
    let mut is_cut = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if lines.len() >= MOST_LINES {
            is_cut = true;
            break;
        }
        let end = line.char_indices().nth(LONGEST_LINE).map_or(line.len(), |(end, _)| end);
        is_cut |= end < line.len();
        let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
        lines.push(line.get(..end).unwrap_or(line).chars().map(visible).collect());
    }
    (lines, is_cut)
}

/// Returns bytes in rows of sixteen.
pub(super) fn hex(bytes: &[u8]) -> Vec<HexRow> {
    let row = |(number, part): (usize, &[u8])| HexRow {
        offset: format!("{:04x}", number * 16),
        hex: part.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
        text: part.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '·' }).collect(),
    };
    bytes.chunks(16).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::{hex, json, plain};

    #[test]
    fn texts_are_cut_at_lines_and_say_so() {
        let whole = plain("a\nb\tc\u{1b}[0m\n".as_bytes(), 10);
        assert_eq!((whole.lines.len(), whole.lines[1].as_str()), (2, "b\tc\u{fffd}[0m"));
        assert!(whole.note.starts_with("All 2 lines"), "{}", whole.note);
        let part = plain(b"a\nb\nhalf", 100);
        assert_eq!((part.lines.len(), part.note.as_str()), (2, "The first 2 lines of 100 B."));
        assert!(plain(b"caf\xe9 au lait\n", 13).note.contains("Windows-1252"));
        assert_eq!(plain(&"x".repeat(10_000).into_bytes(), 10_000).lines[0].len(), 2000);
    }

    #[test]
    fn documents_are_indented_and_broken_ones_shown() {
        assert_eq!(json(b"{\"a\":[1]}").lines, ["{", "  \"a\": [", "    1", "  ]", "}"]);
        assert!(json(b"{\"a\":").note.contains("not valid JSON"));
        assert!(
            json(format!("{}1{}", "[".repeat(500_000), "]".repeat(500_000)).as_bytes()).lines.len() <= 1000
        );
    }

    #[test]
    fn bytes_in_rows() {
        let rows = hex(b"<script>\0\xffabcdefgh");
        assert_eq!((rows.len(), rows[1].offset.as_str(), rows[1].text.as_str()), (2, "0010", "gh"));
    }
}

//! The requests of a gateway's clients, the names in its answers, and the headers of scientific files.

use d1_gateway::fuzzing;

use crate::text;

/// Reads a search in Solr's language.
pub fn search(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let _ = fuzzing::search(text);
    }
}

/// Reads a header `Range`: a part lies within the content.
pub fn byte_range(bytes: &[u8]) {
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else { return };
    let size = u64::from_le_bytes(*size);
    let Some(text) = text(rest) else { return };
    for size in [size, size % 1000] {
        if let Some(Some(part)) = fuzzing::byte_range(text, size) {
            assert!(part.start < part.end && part.end <= size, "{part:?} of {size}");
        }
    }
}

/// Writes a file name into a header: nothing in the name ends the header or the name early.
pub fn file_name(bytes: &[u8]) {
    let name = String::from_utf8_lossy(bytes);
    let header = fuzzing::disposition(&name);
    assert!(header.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{header:?}");
    assert_eq!(header.matches('"').count(), 2, "{header:?}");
    assert!(header.len() < 4000 && !header.contains(['/', '\\']), "{header:?}");
}

/// Reads a path and a query.
pub fn request_target(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let (decoded, _) = fuzzing::target(path, query);
    assert!(decoded.is_none_or(|decoded| decoded.len() <= path.len()));
}

/// The most text that a page shows of the grids of an outline, in bytes.
const MOST_TEXT: usize = 3 * (24 << 10);

/// Reads the header of a NetCDF file: a page does not grow with it.
pub fn netcdf_header(bytes: &[u8]) {
    assert!(fuzzing::outline(bytes).is_none_or(|text| text <= MOST_TEXT));
}

/// Reads the footer of a Parquet file: a page does not grow with it.
pub fn parquet_footer(bytes: &[u8]) {
    netcdf_header(bytes);
}

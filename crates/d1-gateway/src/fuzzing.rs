//! Parsers of requests as functions of text, for the fuzz targets of this project; not part of the interface.

use std::ops::Range;

use crate::{answer, dataone, representation, request, web};

/// Parses a search. Returns whether it is one.
#[must_use]
pub fn search(text: &str) -> bool {
    dataone::fuzz_search(text)
}

/// Returns the range that a header `Range` asks for, of content of this size. The outer `None` stands for the whole content,
/// the inner one for no part of it.
#[must_use]
pub fn byte_range(text: &str, size: u64) -> Option<Option<Range<u64>>> {
    representation::fuzz_range(text, size)
}

/// Returns the header that suggests a file name.
#[must_use]
pub fn disposition(name: &str) -> String {
    answer::disposition("attachment", name)
}

/// Returns the parts of a path and the parameters of a query, decoded.
#[must_use]
pub fn target(path: &str, query: &str) -> (Option<String>, usize) {
    (request::path_decoded(path), request::Query::parse(query).all("file").count())
}

/// Reads the header of a NetCDF file or the footer of a Parquet file. Returns the number of bytes of text that a page shows.
#[must_use]
pub fn outline(bytes: &[u8]) -> Option<usize> {
    web::fuzz_outline(bytes)
}

//! The parsers of outside bytes as functions of bytes: each reads what it is given, and checks what must hold of it.
//!
//! A function panics if and only if something does not hold. The test of this package runs them over the committed
//! corpora and mutations of them; the fuzzers of `fuzz/` call the same functions.

mod archive;
mod bags;
mod dataone;
mod headers;
mod layout;
mod oci;
mod package;

pub use archive::{archive, unpack};
pub use bags::{bag_info, bag_tar, bag_zip, bagit_declaration, bagit_fetch, bagit_manifest, bagit_tag_files};
pub use dataone::{dataone_documents, identifier, resource_map, system_metadata};
pub use headers::{content_range, link, location, retry_after, warning, www_authenticate};
pub use layout::layout_index;
pub use oci::{digest, index, manifest, reference, tag};
pub use package::package_index;

/// A function that reads bytes and panics if something does not hold.
pub type Target = fn(&[u8]);

/// All functions by name: the name of a fuzzer and of a directory below `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 26] = [
    ("archive", archive),
    ("bag_info", bag_info),
    ("bag_tar", bag_tar),
    ("bag_zip", bag_zip),
    ("bagit_declaration", bagit_declaration),
    ("bagit_fetch", bagit_fetch),
    ("bagit_manifest", bagit_manifest),
    ("bagit_tag_files", bagit_tag_files),
    ("content_range", content_range),
    ("dataone_documents", dataone_documents),
    ("digest", digest),
    ("identifier", identifier),
    ("index", index),
    ("layout_index", layout_index),
    ("link", link),
    ("location", location),
    ("manifest", manifest),
    ("package_index", package_index),
    ("reference", reference),
    ("resource_map", resource_map),
    ("retry_after", retry_after),
    ("system_metadata", system_metadata),
    ("tag", tag),
    ("unpack", unpack),
    ("warning", warning),
    ("www_authenticate", www_authenticate),
];

/// Returns the bytes as text, if they are.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

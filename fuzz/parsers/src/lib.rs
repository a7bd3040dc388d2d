//! The parsers of outside bytes as functions of bytes: each parses its input and checks the invariants of the result.
//!
//! A function panics if and only if an invariant fails. The tests of this package run the functions over the committed
//! corpora and mutations of them. The fuzzer of `fuzz/` calls the same functions.

mod archive;
mod bags;
mod dataone;
mod digests;
mod gateway;
mod headers;
mod layout;
mod oci;
mod package;

pub use archive::{archive, unpack};
pub use bags::{bag_info, bag_tar, bag_zip, bagit_declaration, bagit_fetch, bagit_manifest, bagit_tag_files};
pub use dataone::{dataone_documents, identifier, resource_map, system_metadata};
pub use digests::many_streams;
pub use gateway::{byte_range, file_name, netcdf_header, parquet_footer, request_target, search};
pub use headers::{content_range, link, location, retry_after, warning, www_authenticate};
pub use layout::layout_index;
pub use oci::{digest, index, manifest, reference, tag};
pub use package::{package_index, ro_crate, science_metadata};

/// A function that parses bytes and panics if an invariant fails.
pub type Target = fn(&[u8]);

/// All functions by name. The directory below `fuzz/corpus` has the same name.
pub const TARGETS: [(&str, Target); 35] = [
    ("archive", archive),
    ("bag_info", bag_info),
    ("bag_tar", bag_tar),
    ("bag_zip", bag_zip),
    ("bagit_declaration", bagit_declaration),
    ("bagit_fetch", bagit_fetch),
    ("bagit_manifest", bagit_manifest),
    ("bagit_tag_files", bagit_tag_files),
    ("byte_range", byte_range),
    ("content_range", content_range),
    ("dataone_documents", dataone_documents),
    ("digest", digest),
    ("file_name", file_name),
    ("identifier", identifier),
    ("index", index),
    ("layout_index", layout_index),
    ("link", link),
    ("location", location),
    ("manifest", manifest),
    ("many_streams", many_streams),
    ("netcdf_header", netcdf_header),
    ("package_index", package_index),
    ("parquet_footer", parquet_footer),
    ("reference", reference),
    ("request_target", request_target),
    ("resource_map", resource_map),
    ("retry_after", retry_after),
    ("ro_crate", ro_crate),
    ("science_metadata", science_metadata),
    ("search", search),
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

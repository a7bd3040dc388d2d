//! DataONE identifiers, checksums, object formats, system metadata and resource maps.

//! DataONE content: system metadata and resource maps, recognised by their content, never by their names.

mod accept;
mod documents;
mod fixity;
mod matching;
mod names;
mod recognise;

pub use self::accept::{Accept, is_known_fault};
pub use self::documents::{
    Documents, KnownRecords, ObjectRecord, OpenFile, ResourceMapRecord, read_documents,
};
pub(crate) use self::fixity::declared_algorithm;
pub use self::fixity::{Mismatch, algorithm_to_compare, system_metadata_mismatches};
pub(crate) use self::names::key as sanitised;
pub use self::names::{BagNames, ObjectToPlace, bag_directory};
pub use self::recognise::identifier_of_package;

//! Recognising DataONE content: system metadata and resource maps by what they say, never by their names.

mod assign;
mod bag_names;
mod content;
mod documents;
mod explain;
mod facts;
mod fixity;
mod names;
mod package_identity;
mod recognise;

pub use self::bag_names::{BagNames, ObjectToPlace, bag_directory};
pub use self::documents::{Documents, ObjectRecord, OpenFile, ResourceMapRecord, read_documents};
pub use self::facts::DataOneFacts;
pub(crate) use self::fixity::declared_algorithm;
pub use self::fixity::{Mismatch, algorithm_to_compare, system_metadata_mismatches};
pub(crate) use self::names::key as sanitised;
pub use self::package_identity::identifier_of_package;

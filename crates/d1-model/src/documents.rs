//! The smaller documents in answers of DataONE nodes.

mod checksum;
mod error;
mod node;
mod object_list;
mod object_locations;

pub use self::error::{ErrorDocument, looks_like_error};
pub use self::node::{Node, NodeList, NodeService};
pub use self::object_list::{ObjectInfo, ObjectList};
pub use self::object_locations::{ObjectLocation, ObjectLocationList};

//! Science metadata: EML, ISO 19115, Dublin Core, DataCite, FGDC and RO-Crate.
//!
#![doc = include_str!("../README.md")]

mod citation;
mod content;
mod datacite;
mod dublin_core;
mod eml;
mod error;
mod fgdc;
mod iso;
mod limits;
mod place;
mod read;
mod ro_crate;
mod time;
mod tree;

pub use crate::citation::Citation;
pub use crate::content::{
    Attribute, Award, BoundingBox, Code, CsvDialect, Entity, MetadataFormat, Party, Period, ScienceMetadata,
    Taxon, orcid_in,
};
pub use crate::error::{Error, Result};
pub use crate::read::{MAX_DOCUMENT_BYTES, read};
pub use crate::time::day_range;

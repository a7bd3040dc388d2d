//! What a caller can choose about a push.

use std::path::PathBuf;

use bagit::Accept;
use d1_model::Identifier;
use d1_package::Layout;
use oci_model::{Annotations, MediaType, Tag};
use oci_pack::Compression;

/// How to push.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PushOptions {
    /// Tags that the artifact gets. Without any, a package is tagged by its DataONE identifier if it has one.
    pub tags: Vec<Tag>,
    /// What becomes of the files of a directory.
    pub layout: Layout,
    /// Type of the artifact; without it, it follows from the content.
    pub artifact_type: Option<MediaType>,
    /// Further annotations of the manifest; they win over those that follow from the content.
    pub annotations: Annotations,
    /// Identifier of the package or object; without it, it is what the DataONE documents in it say.
    pub identifier: Option<Identifier>,
    /// Whether an object that its system metadata do not let everybody read is pushed all the same.
    pub include_private: bool,
    /// Whether an object is pushed although its system metadata name the wrong algorithm for its checksum.
    pub take_mislabelled: bool,
    /// Date and time of creation, RFC 3339; without it, a bag's `Bagging-Date` counts.
    pub created: Option<String>,
    /// Whether a bag has to be valid.
    pub verify: bool,
    /// Whose faults are tolerated in a bag.
    pub accept: Accept,
    /// Whether a plain directory becomes the payload of a bag on the way.
    pub make_bag: bool,
    /// Whether each problem of an RO-Crate is an error.
    pub strict_crate: bool,
    /// Compression of archive layers.
    pub compression: Compression,
    /// Whether the package gets an index.
    pub index: bool,
    /// Whether archive layers are made anew even if the package that is replaced has them.
    pub repack: bool,
    /// Whether everything is done except storing.
    pub dry_run: bool,
    /// Directory for large temporary files, which have no name there.
    pub temporary_directory: PathBuf,
}

impl PushOptions {
    /// Returns the defaults: the objects layout, verified, with an index.
    pub fn new(temporary_directory: PathBuf) -> Self {
        Self {
            tags: Vec::new(),
            layout: Layout::default(),
            artifact_type: None,
            annotations: Annotations::new(),
            identifier: None,
            include_private: false,
            take_mislabelled: false,
            created: None,
            verify: true,
            accept: Accept::default(),
            make_bag: false,
            strict_crate: false,
            compression: Compression::default(),
            index: true,
            repack: false,
            dry_run: false,
            temporary_directory,
        }
    }

    /// Returns the options with the tag that follows from the identifier, if no other is given.
    pub(crate) fn with_default_tag(&self, identifier: Option<&Identifier>) -> Self {
        let mut options = self.clone();
        if options.tags.is_empty() {
            options.tags.extend(identifier.and_then(|identifier| identifier.tag().parse().ok()));
        }
        options
    }
}

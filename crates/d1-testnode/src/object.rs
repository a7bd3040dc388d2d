//! One object of a node: its content, and its system metadata.

use std::io;

use bytes::Bytes;
use d1_model::{
    AccessPolicy, AccessRule, Checksum, ChecksumAlgorithm, DateTime, Identifier, PUBLIC_SUBJECT, Permission,
    SystemMetadata,
};
use jiff::Timestamp;

use crate::content::Content;
use crate::digest::checksum_of;

/// When the first object was uploaded, in seconds since 1970: the first of January 2024. Each further one follows after
/// a minute, see [`Catalog::put`](crate::Catalog::put).
pub(crate) const FIRST_UPLOAD: i64 = 1_704_067_200;

/// An object: its content, and its system metadata.
#[derive(Clone, Debug)]
pub struct StoredObject {
    pub(crate) content: Content,
    pub(crate) meta: SystemMetadata,
    /// The document as it was given; what is made here is written when it is asked for.
    pub(crate) document: Option<Bytes>,
}

impl StoredObject {
    /// Makes a public object with a SHA-256 checksum.
    ///
    /// # Errors
    ///
    /// If the content's file cannot be read.
    pub fn new(identifier: Identifier, format_id: &str, content: Content) -> io::Result<Self> {
        Self::with_algorithm(identifier, format_id, content, &ChecksumAlgorithm::Sha256)
    }

    /// Makes a public object with a checksum by this algorithm.
    ///
    /// # Errors
    ///
    /// If the content's file cannot be read, or the algorithm is not known.
    pub fn with_algorithm(
        identifier: Identifier,
        format_id: &str,
        content: Content,
        algorithm: &ChecksumAlgorithm,
    ) -> io::Result<Self> {
        let unknown = || io::Error::other(format!("no checksums by {algorithm} here"));
        let checksum = checksum_of(&content, algorithm)?.ok_or_else(unknown)?;
        let owner = "http://orcid.org/0000-0000-0000-0000";
        let mut meta = SystemMetadata::new(identifier, format_id, content.size(), checksum, owner);
        meta.serial_version = Some(1);
        meta.submitter = Some(owner.to_owned());
        let rule =
            AccessRule { subjects: vec![PUBLIC_SUBJECT.to_owned()], permissions: vec![Permission::Read] };
        meta.access_policy = Some(AccessPolicy { rules: vec![rule] });
        meta.archived = Some(false);
        meta.origin_member_node = Some(crate::behaviour::MEMBER_NODE.to_owned());
        meta.authoritative_member_node = Some(crate::behaviour::MEMBER_NODE.to_owned());
        Ok(Self { content, meta, document: None })
    }

    /// Makes an object of its content and of a system metadata document, which is served as it is, right or wrong.
    ///
    /// # Errors
    ///
    /// If the document is not one of system metadata.
    pub fn with_document(document: impl Into<Bytes>, content: Content) -> d1_model::Result<Self> {
        let document = document.into();
        let meta = SystemMetadata::parse(&document)?.value;
        Ok(Self { content, meta, document: Some(document) })
    }

    /// Returns the object with changed system metadata.
    #[must_use]
    pub fn edited(mut self, edit: impl FnOnce(&mut SystemMetadata)) -> Self {
        edit(&mut self.meta);
        self.document = None;
        self
    }

    /// Returns the object with another content, which its system metadata do not describe.
    #[must_use]
    pub fn with_content(self, content: Content) -> Self {
        Self { content, ..self }
    }

    /// Returns the object with nobody but its owner allowed to read it.
    #[must_use]
    pub fn private(self) -> Self {
        self.edited(|meta| meta.access_policy = None)
    }

    /// Returns the object's identifier.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.meta.identifier
    }

    /// Returns the object's content.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Returns the object's system metadata.
    #[must_use]
    pub fn system_metadata(&self) -> &SystemMetadata {
        &self.meta
    }

    /// Returns the system metadata document as it is served, with another checksum if so wanted.
    pub(crate) fn document(&self, has_wrong_checksum: bool) -> d1_model::Result<Bytes> {
        match &self.document {
            Some(document) if !has_wrong_checksum => Ok(document.clone()),
            _ => {
                let mut meta = self.meta.clone();
                if has_wrong_checksum {
                    meta.checksum = wrong(&meta.checksum);
                }
                meta.to_xml().map(Bytes::from)
            }
        }
    }

    /// Says when it was uploaded, if that is not said yet.
    pub(crate) fn date(&mut self, number: u64) {
        let seconds = i64::try_from(number).unwrap_or_default().saturating_mul(60);
        let Ok(instant) = Timestamp::from_second(FIRST_UPLOAD.saturating_add(seconds)) else { return };
        let date = DateTime::from_instant(instant);
        if self.document.is_none() {
            self.meta.date_uploaded.get_or_insert_with(|| date.clone());
            self.meta.date_modified.get_or_insert(date);
        }
    }
}

/// Returns a checksum of the same form that is not the same.
pub(crate) fn wrong(checksum: &Checksum) -> Checksum {
    let turned = |digit: char| if digit == '0' { '1' } else { '0' };
    let value = checksum.value().chars().map(turned).collect::<String>();
    Checksum::new(checksum.algorithm().clone(), value)
}

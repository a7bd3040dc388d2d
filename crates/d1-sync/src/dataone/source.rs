//! Where packages come from: one node, or the network by way of a Coordinating Node.

use d1_client::{Document, ErrorKind as NodeErrorKind, GetOptions, NodeClient, ObjectRead};
use d1_model::{Identifier, SystemMetadata};
use registry_backend::{Error as BackendError, ErrorKind, Retry};

use crate::{Error, Result};

/// Where objects, their system metadata and resource maps are read.
#[derive(Clone, Debug)]
pub enum DataOneSource {
    /// Everything comes from this node.
    Node(NodeClient),
    /// System metadata come from this Coordinating Node, objects from whichever node it says has them.
    Network(NodeClient),
}

impl DataOneSource {
    /// Finds the resource map of the package that an identifier belongs to: of a map, of metadata, of data, or of a series.
    ///
    /// # Errors
    ///
    /// [`Error::Node`] if the node does not know; [`Error::NoPackage`] if the object is in no package;
    /// [`Error::SeveralPackages`] if a person has to choose.
    pub async fn resource_map_of(&self, identifier: &Identifier) -> Result<Identifier> {
        let mut maps = self.client().find_packages(identifier).await?.resource_maps;
        match maps.len() {
            1 => Ok(maps.swap_remove(0)),
            0 => Err(Error::NoPackage { identifier: identifier.clone() }),
            _ => Err(Error::SeveralPackages { identifier: identifier.clone(), resource_maps: maps }),
        }
    }

    pub(super) async fn system_metadata(
        &self,
        identifier: &Identifier,
    ) -> d1_client::Result<Document<SystemMetadata>> {
        self.client().meta(identifier).await
    }

    /// Reads an object from a place on; `size` is that of the whole.
    pub(super) async fn read(
        &self,
        identifier: &Identifier,
        from: u64,
        size: u64,
    ) -> d1_client::Result<ObjectRead> {
        let options = GetOptions { from, size: Some(size) };
        match self {
            Self::Node(client) => client.get(identifier, &options).await,
            Self::Network(client) => client.locate(identifier).await?.get(&options).await,
        }
    }

    fn client(&self) -> &NodeClient {
        let (Self::Node(client) | Self::Network(client)) = self;
        client
    }
}

/// Returns the failure of a node as that of the source of a blob. The client has tried again as often as makes sense.
pub(super) fn as_backend_error(error: d1_client::Error) -> BackendError {
    let kind = match error.kind() {
        NodeErrorKind::NotFound => ErrorKind::NotFound,
        NodeErrorKind::NotAuthorized | NodeErrorKind::InvalidToken => ErrorKind::Denied,
        NodeErrorKind::Content => ErrorKind::Invalid,
        NodeErrorKind::TooLarge => ErrorKind::TooLarge,
        NodeErrorKind::RateLimited => ErrorKind::RateLimited,
        NodeErrorKind::Protocol => ErrorKind::Protocol,
        _ => ErrorKind::Unavailable,
    };
    let target = error.target().to_owned();
    BackendError::new(kind, "read from the node", target).with_retry(Retry::No).caused_by(error)
}

//! Calls that answer with one small document.

use std::time::SystemTime;

use d1_model::{
    Checksum, ChecksumAlgorithm, Identifier, MAX_SYSTEM_METADATA_BYTES, Node, NodeList, ObjectFormatList,
    SystemMetadata,
};
use http_transfer::{Method, header};
use reqwest::header::DATE;

use crate::client::NodeClient;
use crate::error::{ErrorKind, Result};
use crate::exchange::{Document, LARGEST_ERROR, query};

/// The largest description of one node, in bytes.
const LARGEST_NODE: u64 = 4 * 1024 * 1024;
/// The largest list of nodes, in bytes.
const LARGEST_NODE_LIST: u64 = 64 * 1024 * 1024;
/// The largest list of formats, in bytes.
const LARGEST_FORMAT_LIST: u64 = 16 * 1024 * 1024;

impl NodeClient {
    /// Asks whether the node answers, and returns the time of its clock if it states it (`ping`).
    ///
    /// # Errors
    ///
    /// If the node does not answer.
    pub async fn ping(&self) -> Result<Option<SystemTime>> {
        let context = self.context("reach", self.base_url());
        let call = self.call(Method::GET, "monitor/ping", "", &context).await?;
        let answer = self.exchange(&call, LARGEST_ERROR, &context).await?;
        Ok(header(&answer.headers, DATE.as_str()).and_then(|date| httpdate::parse_http_date(date).ok()))
    }

    /// Reads the description of a Member Node (`getCapabilities`).
    ///
    /// # Errors
    ///
    /// If the node does not give it.
    pub async fn node(&self) -> Result<Document<Node>> {
        let context = self.context("read the description of", self.base_url());
        let call = self.call(Method::GET, "node", "", &context).await?;
        self.document(&call, LARGEST_NODE, &context, Node::parse).await
    }

    /// Reads the list of all nodes of the network from a Coordinating Node (`listNodes`).
    ///
    /// # Errors
    ///
    /// If the node does not give it.
    pub async fn list_nodes(&self) -> Result<Document<NodeList>> {
        let context = self.context("read", "the list of nodes");
        let call = self.call(Method::GET, "node", "", &context).await?;
        self.document(&call, LARGEST_NODE_LIST, &context, NodeList::parse).await
    }

    /// Reads the list of object formats from a Coordinating Node (`listFormats`).
    ///
    /// # Errors
    ///
    /// If the node does not give it.
    pub async fn formats(&self) -> Result<Document<ObjectFormatList>> {
        let context = self.context("read", "the list of formats");
        let call = self.call(Method::GET, "formats", "", &context).await?;
        self.document(&call, LARGEST_FORMAT_LIST, &context, ObjectFormatList::parse).await
    }

    /// Reads the system metadata of an object (`getSystemMetadata`); for the identifier of a series, those of its head.
    ///
    /// # Errors
    ///
    /// If the node does not give them; [`Content`](ErrorKind::Content) if they are those of another object.
    pub async fn meta(&self, identifier: &Identifier) -> Result<Document<SystemMetadata>> {
        let context = self.context("read the system metadata of", identifier);
        let path = format!("meta/{}", identifier.to_path_segment());
        let call = self.call(Method::GET, &path, "", &context).await?;
        let document =
            self.document(&call, MAX_SYSTEM_METADATA_BYTES as u64, &context, SystemMetadata::parse).await?;
        let SystemMetadata { identifier: own, series_id, .. } = &document.value;
        if own != identifier && series_id.as_ref() != Some(identifier) {
            return Err(context.content(format!("the node answers with those of {own}")));
        }
        Ok(document)
    }

    /// Asks the node to compute the checksum of an object (`getChecksum`), by SHA-1 unless another algorithm is given.
    /// Nodes read the whole object for it. GMN supports MD5 and SHA-1 only.
    ///
    /// # Errors
    ///
    /// If the node does not answer, or uses another algorithm.
    pub async fn checksum(
        &self,
        identifier: &Identifier,
        algorithm: Option<&ChecksumAlgorithm>,
    ) -> Result<Checksum> {
        let context = self.context("get the checksum of", identifier);
        let path = format!("checksum/{}", identifier.to_path_segment());
        let asked = query(algorithm.map(|algorithm| ("checksumAlgorithm", algorithm.name())));
        let limit = self.inner.shared.options.times.computation;
        let call = self.call(Method::GET, &path, &asked, &context).await?.with_answer_limit(limit);
        let checksum = self.document(&call, LARGEST_ERROR, &context, Checksum::parse_xml).await?.value;
        if algorithm.is_some_and(|algorithm| algorithm != checksum.algorithm()) {
            let reason = format!("the node answers with a checksum by {}", checksum.algorithm());
            return Err(context.error(ErrorKind::Protocol).because(reason));
        }
        Ok(checksum)
    }
}

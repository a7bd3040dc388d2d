//! Reading an object: as a stream that finishes though connections break.

mod answer;
mod reading;

use bytes::Bytes;
use d1_model::Identifier;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use self::reading::Reading;
use crate::client::NodeClient;
use crate::error::Result;

/// How an object is read; the default is all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    /// The place of the first byte that is wanted.
    pub from: u64,
    /// The size of the whole object, if it is known from system metadata: every other size is an error.
    pub size: Option<u64>,
}

/// An object that is being read.
pub struct ObjectRead {
    /// The place of the first byte of the stream.
    pub start: u64,
    /// The size of the whole object, if the caller or the node said.
    pub size: Option<u64>,
    /// The media type under which the node sends it.
    pub media_type: Option<String>,
    /// The bytes. A stream that ends without an error has all of them: as many as the size says.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

impl NodeClient {
    /// Reads an object (`get`); for the identifier of a series, its head.
    ///
    /// A connection that breaks is made again where it stopped, by `Range` where the node knows it, else by reading over
    /// what was there before. Either way the last bytes before the break are read again and compared.
    ///
    /// # Errors
    ///
    /// If the node does not have the object, does not give it, or gives another size than is expected; so do errors of
    /// the stream. [`Content`](crate::ErrorKind::Content) if the bytes are others than before the break.
    pub async fn get(&self, identifier: &Identifier, options: &GetOptions) -> Result<ObjectRead> {
        read(vec![self.clone()], identifier, options).await
    }
}

impl std::fmt::Debug for ObjectRead {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ObjectRead")
            .field("start", &self.start)
            .field("size", &self.size)
            .field("media_type", &self.media_type)
            .finish_non_exhaustive()
    }
}

/// Reads an object from the first of these nodes that gives it.
pub(super) async fn read(
    nodes: Vec<NodeClient>,
    identifier: &Identifier,
    options: &GetOptions,
) -> Result<ObjectRead> {
    let mut reading = Reading::new(nodes, identifier.clone(), options)?;
    let media_type = reading.open_first().await?;
    let (start, size) = (options.from, reading.size());
    Ok(ObjectRead { start, size, media_type, stream: stream::try_unfold(reading, Reading::step).boxed() })
}

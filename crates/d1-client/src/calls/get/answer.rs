//! One answer that brings bytes of an object.

use bytes::{Bytes, BytesMut};
use d1_model::{Identifier, looks_like_error};
use http_transfer::{Incoming, parse_content_range, parse_digits, parse_unsatisfied_range};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use crate::client::NodeClient;
use crate::context::Context;
use crate::error::Result;
use crate::exchange::LARGEST_ERROR;
use crate::refusal::{looks_like_html, refusal_in_success};

/// How many bytes tell whether an answer is a DataONE error.
const PEEK: usize = 4096;

/// An answer that brings bytes.
#[derive(Debug)]
pub(super) struct ByteAnswer {
    incoming: Incoming,
    /// What was read of the body to see what it is.
    peeked: Bytes,
    /// The place of the next byte in the object.
    pub(super) position: u64,
    /// The place behind the last byte, if it is stated.
    pub(super) end: Option<u64>,
    /// The size of the whole object, if it is stated.
    pub(super) size: Option<u64>,
    pub(super) context: Context,
}

/// What came of asking for an object from some byte on.
#[derive(Debug)]
pub(super) enum Opened {
    /// Its bytes, perhaps from an earlier one on.
    Bytes(Box<ByteAnswer>),
    /// Nothing, since the object has that many bytes.
    Nothing,
    /// The node has its own idea of ranges: ask for the whole.
    BadRange,
}

/// Asks for an object, with a range if `from` is not 0 and `by_range` is set. `size` is the size that it must have.
pub(super) async fn open(
    node: &NodeClient,
    identifier: &Identifier,
    from: u64,
    by_range: bool,
    size: Option<u64>,
) -> Result<Opened> {
    let context = node.context("read", identifier);
    let path = format!("object/{}", identifier.to_path_segment());
    let mut call = node.call(Method::GET, &path, "", &context).await?;
    let asks_range = from > 0 && by_range;
    if asks_range && let Ok(value) = HeaderValue::from_str(&format!("bytes={from}-")) {
        call = call.with_header(RANGE, value);
    }
    let permit = node.inner.budget.enter().await;
    let incoming = node.send(&call, &context).await?;
    drop(permit);
    match incoming.status {
        StatusCode::PARTIAL_CONTENT if asks_range => partial(incoming, from, size, context),
        StatusCode::OK => whole(incoming, size, context).await.map(|answer| Opened::Bytes(Box::new(answer))),
        StatusCode::RANGE_NOT_SATISFIABLE if asks_range => unsatisfied(&incoming, from, size, &context),
        status if status.is_success() => {
            Err(context.protocol(format!("the node answers {} to a request for an object", status.as_u16())))
        }
        _ => Err(node.refused(incoming, &context).await),
    }
}

impl ByteAnswer {
    /// Returns the next bytes, `None` at the end of the answer.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let bytes = if self.peeked.is_empty() {
            self.incoming.next().await.map_err(|error| self.context.transfer(error))?
        } else {
            Some(std::mem::take(&mut self.peeked))
        };
        let Some(bytes) = bytes else { return Ok(None) };
        self.position = self.position.saturating_add(bytes.len() as u64);
        if self.end.is_some_and(|end| self.position > end) {
            return Err(self.context.protocol("more bytes come than were announced"));
        }
        Ok(Some(bytes))
    }

    pub(super) fn media_type(&self) -> Option<String> {
        self.incoming.header(CONTENT_TYPE.as_str()).filter(|text| !text.is_empty()).map(str::to_owned)
    }
}

fn partial(incoming: Incoming, from: u64, size: Option<u64>, context: Context) -> Result<Opened> {
    let stated = incoming.header(CONTENT_RANGE.as_str()).and_then(parse_content_range);
    let Some(stated) = stated.filter(|stated| stated.range.start <= from && stated.range.end > from) else {
        return Ok(Opened::BadRange);
    };
    check_encoding(&incoming, &context)?;
    if let (Some(size), Some(complete)) = (size, stated.complete)
        && size != complete
    {
        return Err(wrong_size(complete, size, "", &context));
    }
    let (position, end) = (stated.range.start, Some(stated.range.end));
    let size = stated.complete;
    let answer = ByteAnswer { incoming, peeked: Bytes::new(), position, end, size, context };
    Ok(Opened::Bytes(Box::new(answer)))
}

async fn whole(mut incoming: Incoming, size: Option<u64>, context: Context) -> Result<ByteAnswer> {
    check_encoding(&incoming, &context)?;
    let length = incoming.header(CONTENT_LENGTH.as_str()).and_then(parse_digits);
    let mut peeked = Bytes::new();
    // An answer of exactly the expected size is taken for the object, even if that is an error document itself.
    if size.is_none() || length != size {
        peeked = peek(&mut incoming, &context).await?;
        let note = if looks_like_html(&peeked) { ", and a web page" } else { "" };
        if let (Some(size), Some(length)) = (size, length) {
            return Err(wrong_size(length, size, note, &context));
        }
    }
    Ok(ByteAnswer { incoming, peeked, position: 0, end: length, size: length, context })
}

/// Reads the beginning of a body; a DataONE error under the status of success is the error that it is.
async fn peek(incoming: &mut Incoming, context: &Context) -> Result<Bytes> {
    let mut body = BytesMut::new();
    let mut wanted = PEEK;
    while let Some(bytes) = incoming.next().await.map_err(|error| context.transfer(error))? {
        body.extend_from_slice(&bytes);
        if body.len() >= wanted {
            if wanted > PEEK || !looks_like_error(&body) {
                return Ok(body.freeze());
            }
            wanted = LARGEST_ERROR;
        }
    }
    match refusal_in_success(incoming.status, &body, context) {
        Some(error) => Err(error),
        None => Ok(body.freeze()),
    }
}

fn unsatisfied(incoming: &Incoming, from: u64, size: Option<u64>, context: &Context) -> Result<Opened> {
    let stated = incoming.header(CONTENT_RANGE.as_str()).and_then(parse_unsatisfied_range);
    match (stated, size) {
        (Some(stated), Some(size)) if stated != size => Err(wrong_size(stated, size, "", context)),
        (Some(stated), _) if stated == from => Ok(Opened::Nothing),
        (Some(stated), _) if stated < from => {
            Err(context.content(format!("it has {stated} bytes, and {from} were read before")))
        }
        _ => Ok(Opened::BadRange),
    }
}

fn check_encoding(incoming: &Incoming, context: &Context) -> Result<()> {
    match incoming.header(CONTENT_ENCODING.as_str()) {
        None | Some("" | "identity") => Ok(()),
        Some(encoding) => {
            Err(context.protocol(format!("the node sends it as {encoding}, which nobody asked for")))
        }
    }
}

fn wrong_size(found: u64, expected: u64, note: &str, context: &Context) -> crate::error::Error {
    context.content(format!("the node sends {found} bytes{note}; it should have {expected}"))
}

//! An object read to its end, over as many connections and nodes as it takes.

use bytes::Bytes;
use d1_model::Identifier;

use super::GetOptions;
use super::answer::{ByteAnswer, Opened, open};
use crate::client::NodeClient;
use crate::error::{Error, ErrorKind, Result, Retry};
use crate::progress::Progress;
use crate::retry::Failures;

/// How many of the last bytes before a break are read again and compared.
const OVERLAP: usize = 1024;

/// How many bytes make up for the failures before them.
const ENOUGH: u64 = 256 * 1024;

/// The state of a stream.
#[derive(Debug)]
pub(super) struct Reading {
    nodes: Vec<NodeClient>,
    current: usize,
    identifier: Identifier,
    /// The place of the next byte to hand on.
    next: u64,
    size: Option<u64>,
    /// The last bytes that were handed on.
    tail: Vec<u8>,
    answer: Option<Box<ByteAnswer>>,
    /// The place of the next byte when that answer began.
    opened_at: u64,
    /// Whether the current node is asked for ranges.
    by_range: bool,
    failures: Failures,
    since_failure: u64,
}

impl Reading {
    pub(super) fn new(nodes: Vec<NodeClient>, identifier: Identifier, options: &GetOptions) -> Result<Self> {
        let Some(first) = nodes.first() else {
            let error = Error::new(ErrorKind::NotFound, "read", &identifier, "no node");
            return Err(error.because("there is no location"));
        };
        let context = first.context("read", &identifier);
        if let Some(size) = options.size.filter(|size| *size < options.from) {
            let reason = format!("it has {size} bytes: none at {}", options.from);
            return Err(context.error(ErrorKind::InvalidRequest).because(reason));
        }
        let failures = first.inner.connections.failures();
        let GetOptions { from: next, size } = *options;
        Ok(Self {
            nodes,
            current: 0,
            identifier,
            next,
            size,
            tail: Vec::new(),
            answer: None,
            opened_at: next,
            by_range: true,
            failures,
            since_failure: 0,
        })
    }

    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Asks the nodes until one begins to send, and returns the media type.
    ///
    /// Each is asked once, before those that may recover are asked again with waits.
    pub(super) async fn open_first(&mut self) -> Result<Option<String>> {
        if self.is_complete() && self.next > 0 {
            return Ok(None);
        }
        let mut errors: Vec<Error> = Vec::new();
        let mut hopeful = Vec::new();
        for number in 0..self.nodes.len() {
            self.go_to(number, errors.last());
            match self.open().await {
                Ok(()) => return Ok(self.answer.as_ref().and_then(|answer| answer.media_type())),
                Err(error) => {
                    if error.retry() != Retry::No {
                        hopeful.push(number);
                    }
                    errors.push(error);
                }
            }
        }
        for number in hopeful {
            let Some(mut error) = take(&mut errors, number) else { continue };
            self.go_to(number, None);
            self.failures.forget();
            loop {
                match self.failures.wait_after(error).await {
                    Err(last) => break errors.insert(number, last),
                    Ok(()) => match self.open().await {
                        Ok(()) => return Ok(self.answer.as_ref().and_then(|answer| answer.media_type())),
                        Err(next) => error = next,
                    },
                }
            }
        }
        Err(most_telling(errors))
    }

    /// Returns the next bytes and the state after them.
    pub(super) async fn step(mut self) -> Result<Option<(Bytes, Self)>> {
        loop {
            if self.answer.is_none() && self.is_complete() {
                return Ok(None);
            }
            match self.piece().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    self.hand_on(&bytes)?;
                    return Ok(Some((bytes, self)));
                }
                Ok(None) => return Ok(None),
                Err(error) => self.recover(error).await?,
            }
        }
    }

    /// Returns the next new bytes, or none of them if there is more to ask for; `None` at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>> {
        if self.answer.is_none() {
            self.open().await?;
        }
        let Some(answer) = &mut self.answer else { return Ok(None) };
        let start = answer.position;
        let Some(bytes) = answer.next().await? else { return self.end_of_answer() };
        if self.size.is_some_and(|size| answer.position > size) {
            return Err(answer.context.content("more bytes come than it should have"));
        }
        if !is_repetition(&bytes, start, &self.tail, self.next) {
            return Err(answer
                .context
                .content("it changed while it was read: the bytes are others than before"));
        }
        let known = usize::try_from(self.next.saturating_sub(start)).unwrap_or(usize::MAX);
        Ok(Some(bytes.slice(known.min(bytes.len())..)))
    }

    /// Tells what the end of an answer means: the end of the object, or that there is more to ask for.
    fn end_of_answer(&mut self) -> Result<Option<Bytes>> {
        let Some(answer) = self.answer.take() else { return Ok(None) };
        if self.is_complete() {
            return Ok(None);
        }
        let is_cut = answer.end.is_some_and(|end| answer.position < end);
        if self.size.is_none() && !is_cut {
            self.size = Some(self.next);
            return Ok(None);
        }
        if !is_cut && answer.end.is_some() && self.next > self.opened_at {
            // A node that sends less than was asked for: the rest is in the next answer.
            return Ok(Some(Bytes::new()));
        }
        let size = self.size.map_or_else(|| "its announced size".to_owned(), |size| format!("{size} bytes"));
        let reason = format!("the answer ends after {} of {size}", self.next);
        Err(answer.context.content(reason).with_retry(Retry::Yes))
    }

    fn hand_on(&mut self, bytes: &Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        self.next = self.next.saturating_add(length);
        self.since_failure = self.since_failure.saturating_add(length);
        if self.since_failure >= ENOUGH {
            self.failures.forget();
        }
        self.tail.extend_from_slice(bytes.get(bytes.len().saturating_sub(OVERLAP)..).unwrap_or_default());
        self.tail.drain(..self.tail.len().saturating_sub(OVERLAP));
        let Some(node) = self.nodes.get(self.current) else { return Ok(()) };
        let options = &node.inner.connections.options;
        options.progress.note(&Progress::Received { identifier: &self.identifier, bytes: length });
        if self.size.is_none() && self.next > options.limits.unsized_object {
            let error = node.context("read", &self.identifier).error(ErrorKind::TooLarge);
            return Err(error.because("the node does not say its size, and it does not end"));
        }
        Ok(())
    }

    /// Opens an answer at the current node, once.
    async fn open(&mut self) -> Result<()> {
        self.answer = None;
        self.opened_at = self.next;
        loop {
            let Some(node) = self.nodes.get(self.current) else { return Ok(()) };
            let from = self.next.saturating_sub(self.tail.len() as u64);
            match open(node, &self.identifier, from, self.by_range, self.size).await? {
                Opened::Bytes(answer) => {
                    self.size = self.size.or(answer.size);
                    self.answer = Some(answer);
                    return Ok(());
                }
                Opened::Nothing => {
                    self.size = Some(from);
                    return Ok(());
                }
                // No range is asked for any more, so that this happens once only.
                Opened::BadRange => self.by_range = false,
            }
        }
    }

    /// Waits before the node is asked again, or goes to the next one.
    async fn recover(&mut self, error: Error) -> Result<()> {
        self.answer = None;
        self.since_failure = 0;
        let Err(error) = self.failures.wait_after(error).await else { return Ok(()) };
        let next = self.current.saturating_add(1);
        if next >= self.nodes.len() || error.kind() == ErrorKind::TooLarge {
            return Err(error);
        }
        self.go_to(next, Some(&error));
        self.failures.forget();
        Ok(())
    }

    fn go_to(&mut self, number: usize, error: Option<&Error>) {
        self.current = number;
        self.by_range = true;
        if let (Some(error), Some(node)) = (error, self.nodes.get(number)) {
            tracing::debug!(%error, node = node.base_url(), "will read from the next location");
            let (identifier, node_url) = (&self.identifier, node.base_url());
            let progress = Progress::NextLocation { identifier, error, node: node_url };
            node.inner.connections.options.progress.note(&progress);
        }
    }

    fn is_complete(&self) -> bool {
        self.size == Some(self.next)
    }
}

/// Tells whether bytes from some place on repeat what was handed on last, as far as they overlap with it.
fn is_repetition(bytes: &[u8], start: u64, tail: &[u8], next: u64) -> bool {
    let tail_start = next.saturating_sub(tail.len() as u64);
    let place = |distance: u64| usize::try_from(distance).unwrap_or(usize::MAX);
    let repeated = bytes.iter().skip(place(tail_start.saturating_sub(start)));
    let known = tail.iter().skip(place(start.saturating_sub(tail_start)));
    repeated.zip(known).all(|(repeated, known)| repeated == known)
}

fn take(errors: &mut Vec<Error>, number: usize) -> Option<Error> {
    (number < errors.len()).then(|| errors.remove(number))
}

/// Of what several nodes said, returns what leaves most hope: that one does not have an object does not mean that nobody
/// does.
fn most_telling(mut errors: Vec<Error>) -> Error {
    let place = errors.iter().position(|error| error.kind() != ErrorKind::NotFound).unwrap_or_default();
    errors.swap_remove(place)
}

#[cfg(test)]
mod tests {
    use super::is_repetition;

    proptest::proptest! {
        #[test]
        fn overlaps_are_compared(
            known in proptest::collection::vec(0_u8..3, 0..40),
            tail_length in 0_usize..20,
            start in 0_usize..50,
            bytes in proptest::collection::vec(0_u8..3, 0..40),
        ) {
            let tail = &known[known.len().saturating_sub(tail_length)..];
            let tail_start = known.len() - tail.len();
            let expected = (0..bytes.len()).all(|place| {
                let place_in_object = start + place;
                place_in_object < tail_start
                    || place_in_object >= known.len()
                    || known[place_in_object] == bytes[place]
            });
            let found = is_repetition(&bytes, start as u64, tail, known.len() as u64);
            proptest::prop_assert_eq!(found, expected);
        }
    }
}

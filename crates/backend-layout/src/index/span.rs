//! Places in a text, at half the size of a range.

use std::ops::Range;

/// The longest text in which places are kept, in bytes: what stands aside is never longer than the text itself.
pub(super) const LONGEST_TEXT: usize = i32::MAX as usize;

/// A place in [`Texts`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

/// A text, and aside what its escapes stand for, which has no place in it.
#[derive(Debug)]
pub(super) struct Texts {
    source: String,
    aside: String,
}

impl Texts {
    pub(super) fn new(source: String, aside: String) -> Self {
        Self { source, aside }
    }

    /// Returns the text itself.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Returns the text itself alone.
    pub(super) fn into_source(self) -> String {
        self.source
    }

    /// Returns what stands at the place.
    pub(super) fn get(&self, span: Span) -> &str {
        let range = span.range();
        let found = match range.start.checked_sub(self.source.len()) {
            None => self.source.get(range),
            Some(start) => self.aside.get(start..start.saturating_add(range.len())),
        };
        found.unwrap_or_default()
    }
}

impl Span {
    pub(super) fn of(range: &Range<usize>) -> Self {
        let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { start: short(range.start), length: short(range.len()) }
    }

    fn range(self) -> Range<usize> {
        let long = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let start = long(self.start);
        start..start.saturating_add(long(self.length))
    }
}

/// Where `text` has a part of it.
pub(super) fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start.saturating_add(part.len())
}

//! Checks XML on its way to a parser that sets no bounds itself.

use std::io::{self, Read};

use crate::error::ErrorKind;

/// Bounds for [`GuardedReader`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardLimits {
    /// The largest document, in bytes.
    pub(crate) max_bytes: u64,
    /// The deepest nesting of elements.
    pub(crate) max_depth: usize,
    /// The longest tag, in bytes.
    pub(crate) max_tag_bytes: usize,
    /// The most attributes of a tag.
    pub(crate) max_attributes: usize,
    /// The longest text, comment or processing instruction, in bytes.
    pub(crate) max_text_bytes: usize,
}

/// A breach of the bounds, and its position.
#[derive(Debug, Clone)]
pub(crate) struct GuardViolation {
    pub(crate) kind: ErrorKind,
    pub(crate) position: u64,
    pub(crate) detail: &'static str,
}

/// Passes bytes through, follows the lexical structure of XML, and stops at the first violation.
///
/// Declarations within a document type are refused, because they can define entities. The end of input within an
/// element is an error, which a parser of events might not notice.
pub(crate) struct GuardedReader<R> {
    inner: R,
    limits: GuardLimits,
    state: State,
    depth: usize,
    /// Bytes of the current token so far.
    token_bytes: usize,
    attributes: usize,
    position: u64,
    violation: Option<GuardViolation>,
    document_type: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Text,
    /// After `<`.
    Opened,
    Tag {
        closing: bool,
        quote: Option<u8>,
        slash: bool,
    },
    /// After `<!`.
    Bang,
    /// In a text that must follow `<!`.
    Expect {
        rest: &'static [u8],
        then: Until,
    },
    /// In a construct that ends with two equal bytes and `>`, or with one.
    Until {
        until: Until,
        matched: usize,
    },
    DocumentType {
        quote: Option<u8>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Until {
    byte: u8,
    times: usize,
}

const COMMENT: Until = Until { byte: b'-', times: 2 };
const CDATA: Until = Until { byte: b']', times: 2 };
const INSTRUCTION: Until = Until { byte: b'?', times: 1 };

impl<R: Read> GuardedReader<R> {
    pub(crate) fn new(inner: R, limits: GuardLimits) -> Self {
        Self {
            inner,
            limits,
            state: State::Text,
            depth: 0,
            token_bytes: 0,
            attributes: 0,
            position: 0,
            violation: None,
            document_type: false,
        }
    }

    /// Returns the violation, if there was one.
    pub(crate) fn violation(&self) -> Option<&GuardViolation> {
        self.violation.as_ref()
    }

    /// Returns whether the document has a document type declaration.
    pub(crate) fn has_document_type(&self) -> bool {
        self.document_type
    }

    /// Returns the number of bytes that have passed.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    fn refuse(&mut self, kind: ErrorKind, detail: &'static str) -> io::Error {
        let violation = GuardViolation { kind, position: self.position, detail };
        self.violation = Some(violation);
        io::Error::new(io::ErrorKind::InvalidData, detail)
    }

    /// Counts the bytes at the beginning that do not change the state. These are most bytes, so they skip the slow
    /// path.
    fn uneventful(&self, bytes: &[u8]) -> usize {
        let until = |is_event: &dyn Fn(u8) -> bool| {
            bytes.iter().position(|byte| is_event(*byte)).unwrap_or(bytes.len())
        };
        match self.state {
            State::Text => until(&|byte| byte == b'<'),
            State::Tag { quote: Some(open), .. } | State::DocumentType { quote: Some(open) } => {
                until(&|byte| byte == open)
            }
            State::Tag { quote: None, slash: false, .. } => {
                until(&|byte| matches!(byte, b'"' | b'\'' | b'=' | b'>' | b'/'))
            }
            State::Until { until: end, matched: 0 } => until(&|byte| byte == end.byte),
            _ => 0,
        }
    }

    fn skip(&mut self, count: usize) -> io::Result<()> {
        self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.token_bytes = self.token_bytes.saturating_add(count);
        self.check_token()
    }

    fn pass(&mut self, byte: u8) -> Result<(), io::Error> {
        self.position = self.position.saturating_add(1);
        self.token_bytes = self.token_bytes.saturating_add(1);
        self.state = match self.state {
            State::Text if byte == b'<' => self.begin(State::Opened),
            State::Text => State::Text,
            State::Opened => match byte {
                b'!' => State::Bang,
                b'?' => State::Until { until: INSTRUCTION, matched: 0 },
                _ => State::Tag { closing: byte == b'/', quote: None, slash: false },
            },
            State::Tag { closing, quote, slash } => self.pass_tag(byte, closing, quote, slash)?,
            State::Bang => match byte {
                b'-' => State::Expect { rest: b"-", then: COMMENT },
                b'[' => State::Expect { rest: b"CDATA[", then: CDATA },
                b'D' | b'd' => State::DocumentType { quote: None },
                _ => return Err(self.refuse(ErrorKind::Malformed, "a declaration is not one that XML knows")),
            },
            State::Expect { rest, then } => match rest.split_first() {
                Some((expected, [])) if *expected == byte => State::Until { until: then, matched: 0 },
                Some((expected, rest)) if *expected == byte => State::Expect { rest, then },
                _ => return Err(self.refuse(ErrorKind::Malformed, "a declaration is not one that XML knows")),
            },
            State::Until { until, matched } => {
                if byte == b'>' && matched >= until.times {
                    self.begin(State::Text)
                } else {
                    let matched = if byte == until.byte { matched.saturating_add(1) } else { 0 };
                    State::Until { until, matched }
                }
            }
            State::DocumentType { quote } => self.pass_document_type(byte, quote)?,
        };
        self.check_token()
    }

    fn pass_tag(&mut self, byte: u8, closing: bool, quote: Option<u8>, slash: bool) -> io::Result<State> {
        let tag = |quote, slash| State::Tag { closing, quote, slash };
        Ok(match (quote, byte) {
            (Some(open), _) if open == byte => tag(None, false),
            (Some(_), _) => tag(quote, false),
            (None, b'"' | b'\'') => tag(Some(byte), false),
            (None, b'=') => {
                self.attributes = self.attributes.saturating_add(1);
                tag(None, false)
            }
            (None, b'>') => {
                if closing {
                    self.depth = self.depth.saturating_sub(1);
                } else if !slash {
                    self.depth = self.depth.saturating_add(1);
                    if self.depth > self.limits.max_depth {
                        return Err(self.refuse(ErrorKind::TooLarge, "elements are nested too deep"));
                    }
                }
                self.begin(State::Text)
            }
            (None, _) => tag(None, byte == b'/'),
        })
    }

    fn pass_document_type(&mut self, byte: u8, quote: Option<u8>) -> io::Result<State> {
        self.document_type = true;
        Ok(match (quote, byte) {
            (Some(open), _) if open == byte => State::DocumentType { quote: None },
            (Some(_), _) => State::DocumentType { quote },
            (None, b'"' | b'\'') => State::DocumentType { quote: Some(byte) },
            (None, b'>') => self.begin(State::Text),
            // The parser after this reader looks for entity declarations without regard to quotes, so none may
            // reach it.
            (None, b'[' | b'<') => {
                let detail =
                    "declarations within the document type are refused, since they can define entities";
                return Err(self.refuse(ErrorKind::EntityRefused, detail));
            }
            (None, _) => State::DocumentType { quote: None },
        })
    }

    fn begin(&mut self, state: State) -> State {
        self.token_bytes = 0;
        self.attributes = 0;
        state
    }

    fn check_token(&mut self) -> io::Result<()> {
        let in_tag = matches!(self.state, State::Tag { .. } | State::DocumentType { .. });
        let limit = if in_tag { self.limits.max_tag_bytes } else { self.limits.max_text_bytes };
        if self.token_bytes > limit {
            return Err(self.refuse(ErrorKind::TooLarge, "a tag or text is too long"));
        }
        if self.attributes > self.limits.max_attributes {
            return Err(self.refuse(ErrorKind::TooLarge, "an element has too many attributes"));
        }
        if self.position > self.limits.max_bytes {
            return Err(self.refuse(ErrorKind::TooLarge, "the document is too large"));
        }
        Ok(())
    }
}

impl<R: Read> Read for GuardedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(violation) = &self.violation {
            return Err(io::Error::new(io::ErrorKind::InvalidData, violation.detail));
        }
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && (self.depth > 0 || !matches!(self.state, State::Text)) {
            return Err(self.refuse(ErrorKind::Malformed, "the document ends within an element"));
        }
        let mut rest = buffer.get(..count).unwrap_or_default();
        while let Some((first, others)) = rest.split_first() {
            let uneventful = self.uneventful(rest);
            if uneventful > 0 {
                self.skip(uneventful)?;
                rest = rest.get(uneventful..).unwrap_or_default();
            } else {
                self.pass(*first)?;
                rest = others;
            }
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{GuardLimits, GuardedReader};
    use crate::error::ErrorKind;

    const LIMITS: GuardLimits = GuardLimits {
        max_bytes: 1000,
        max_depth: 3,
        max_tag_bytes: 100,
        max_attributes: 2,
        max_text_bytes: 200,
    };

    fn verdict(text: &str) -> Option<ErrorKind> {
        let mut guard = GuardedReader::new(text.as_bytes(), LIMITS);
        let mut passed = Vec::new();
        let outcome = guard.read_to_end(&mut passed);
        assert_eq!(outcome.is_err(), guard.violation().is_some(), "{text}");
        assert!(outcome.is_err() || passed == text.as_bytes(), "{text}");
        guard.violation().map(|violation| violation.kind)
    }

    #[test]
    fn documents_within_bounds_pass() {
        for text in [
            "",
            "<a/>",
            "<?xml version='1.0'?><a><b x='>' y=\"/\"><c/></b></a><!-- <x> -- - -->",
            "<a><![CDATA[<x>]]]></a>",
            "<!DOCTYPE a SYSTEM '[<x>'><a>t</a>",
            "<a><b><c></c></b><b><c/></b></a>",
            "<a><?pi > ?></a>",
        ] {
            assert_eq!(verdict(text), None, "{text}");
        }
    }

    #[test]
    fn violations_are_named() {
        let long = "x".repeat(201);
        for (text, kind) in [
            ("<a><b><c><d/><e>".to_owned(), ErrorKind::TooLarge),
            (format!("<a>{long}</a>"), ErrorKind::TooLarge),
            (format!("<a><!--{long}--></a>"), ErrorKind::TooLarge),
            (format!("<a b='{}'/>", &long[..101]), ErrorKind::TooLarge),
            ("<a b='1' c='2' d='3'/>".to_owned(), ErrorKind::TooLarge),
            (format!("<a>{}</a>", "<b/>".repeat(300)), ErrorKind::TooLarge),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>".to_owned(), ErrorKind::EntityRefused),
            ("<!doctype a <!ENTITY b 'c'><a/>".to_owned(), ErrorKind::EntityRefused),
            ("<!ELEMENT a><a/>".to_owned(), ErrorKind::Malformed),
            ("<![IGNORE[".to_owned(), ErrorKind::Malformed),
            ("<a><b/>".to_owned(), ErrorKind::Malformed),
            ("<a".to_owned(), ErrorKind::Malformed),
            ("<a/><!-- open".to_owned(), ErrorKind::Malformed),
        ] {
            assert_eq!(verdict(&text), Some(kind), "{text}");
        }
    }
}

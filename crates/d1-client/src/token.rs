//! The token that proves who asks.

use std::fmt;

/// A bearer token of the DataONE portal (a signed JSON web token): neither `Debug` nor `Display` shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes the text of a token; whitespace around it, as files and copying leave it, is dropped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// Returns the text itself, for sending it to where it belongs.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_is_not_shown() {
        let token = Token::new(" abc.def\n");
        assert_eq!(format!("{token} {token:?}"), "[secret] [secret]");
        assert_eq!(token.reveal(), "abc.def");
    }
}

//! The part of Solr's query language that clients of DataONE send: fields, phrases, existence, AND, OR, NOT, parentheses.

/// A condition on a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Every document.
    All,
    /// The field has this value, in the same case.
    Is {
        field: String,
        value: String,
    },
    /// The field has a value that begins so.
    Begins {
        field: String,
        start: String,
    },
    /// The field has any value.
    Exists {
        field: String,
    },
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// The longest query in bytes.
const LONGEST_QUERY: usize = 64 << 10;
/// The deepest nesting of parentheses.
const DEEPEST: usize = 32;
/// The most conditions.
const MOST_TOKENS: usize = 20_000;

/// Parses a query.
///
/// # Errors
///
/// The reason, for the client.
pub(super) fn parse(text: &str) -> Result<Condition, &'static str> {
    if text.len() > LONGEST_QUERY {
        return Err("the query is too long");
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, field: None, depth: 0 };
    let condition = parser.alternatives()?;
    match parser.tokens {
        [] => Ok(condition),
        _ => Err("the query has a parenthesis that nothing opens"),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    /// A field's name and the colon behind it.
    Field(String),
    Phrase(String),
    Word(String),
}

fn tokens(text: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(&first) = characters.peek() {
        if tokens.len() >= MOST_TOKENS {
            return Err("the query has too many parts");
        }
        match first {
            space if space.is_ascii_whitespace() => {
                characters.next();
            }
            '(' | ')' => {
                characters.next();
                tokens.push(if first == '(' { Token::Open } else { Token::Close });
            }
            // `+` demands the next condition, which is the default here.
            '+' => {
                characters.next();
            }
            '-' | '!' => {
                characters.next();
                tokens.push(Token::Not);
            }
            '"' => {
                characters.next();
                tokens.push(Token::Phrase(phrase(&mut characters)?));
            }
            _ => tokens.extend(word(&mut characters)),
        }
    }
    Ok(tokens)
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn phrase(characters: &mut Characters<'_>) -> Result<String, &'static str> {
    let mut phrase = String::new();
    loop {
        match characters.next() {
            None => return Err("the query has a quotation mark that nothing closes"),
            Some('"') => return Ok(phrase),
            Some('\\') => phrase.extend(characters.next()),
            Some(other) => phrase.push(other),
        }
    }
}

/// Reads a word: an operator, a field with its colon, or a value. An escaped colon belongs to the value.
fn word(characters: &mut Characters<'_>) -> Option<Token> {
    let mut word = String::new();
    let mut is_escaped = false;
    while let Some(&next) = characters.peek() {
        match next {
            '\\' => {
                characters.next();
                is_escaped = true;
                word.extend(characters.next());
            }
            ':' if !is_escaped && is_field(&word) => {
                characters.next();
                return Some(Token::Field(word));
            }
            '(' | ')' | '"' => break,
            other if other.is_ascii_whitespace() => break,
            other => {
                characters.next();
                word.push(other);
            }
        }
    }
    match word.as_str() {
        "" => None,
        "AND" | "&&" => Some(Token::And),
        "OR" | "||" => Some(Token::Or),
        "NOT" => Some(Token::Not),
        _ => Some(Token::Word(word)),
    }
}

/// The beginnings of identifiers that some clients send without quotation marks.
const SCHEMES: [&str; 5] = ["ark", "doi", "http", "https", "urn"];

fn is_field(word: &str) -> bool {
    let is_name = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word == "*" || (is_name && !SCHEMES.contains(&word))
}

struct Parser<'a> {
    tokens: &'a [Token],
    /// The field that a parenthesis belongs to.
    field: Option<String>,
    depth: usize,
}

impl Parser<'_> {
    fn next_is(&self, token: &Token) -> bool {
        self.tokens.first() == Some(token)
    }

    fn advance(&mut self) -> Option<Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first.clone())
    }

    fn alternatives(&mut self) -> Result<Condition, &'static str> {
        let mut conditions = vec![self.conjunction()?];
        while self.next_is(&Token::Or) {
            self.advance();
            conditions.push(self.conjunction()?);
        }
        Ok(only_or(conditions, Condition::Or))
    }

    fn conjunction(&mut self) -> Result<Condition, &'static str> {
        let mut conditions = vec![self.negation()?];
        loop {
            if self.next_is(&Token::And) {
                self.advance();
            } else if self.tokens.is_empty() || self.next_is(&Token::Or) || self.next_is(&Token::Close) {
                return Ok(only_or(conditions, Condition::And));
            }
            conditions.push(self.negation()?);
        }
    }

    fn negation(&mut self) -> Result<Condition, &'static str> {
        let mut is_negated = false;
        while self.next_is(&Token::Not) {
            self.advance();
            is_negated = !is_negated;
        }
        let condition = self.primary()?;
        Ok(if is_negated { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn primary(&mut self) -> Result<Condition, &'static str> {
        match self.advance() {
            Some(Token::Open) => self.group(self.field.clone()),
            Some(Token::Field(field)) => match self.advance() {
                Some(Token::Open) => self.group(Some(field)),
                Some(Token::Phrase(value)) => Ok(Condition::Is { field, value }),
                Some(Token::Word(word)) => Ok(of_word(field, word)),
                _ => Err("expected a value behind the colon"),
            },
            Some(Token::Phrase(value)) => match self.field.clone() {
                Some(field) => Ok(Condition::Is { field, value }),
                None => Err("expected a field before the value, such as id:"),
            },
            Some(Token::Word(word)) => match self.field.clone() {
                Some(field) => Ok(of_word(field, word)),
                None => Err("expected a field before the value, such as id:"),
            },
            _ => Err("expected a condition such as id:\"X\""),
        }
    }

    fn group(&mut self, field: Option<String>) -> Result<Condition, &'static str> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("the query is nested too deeply");
        }
        let outer = std::mem::replace(&mut self.field, field);
        let condition = self.alternatives()?;
        self.field = outer;
        self.depth -= 1;
        match self.advance() {
            Some(Token::Close) => Ok(condition),
            _ => Err("the query has a parenthesis that nothing closes"),
        }
    }
}

fn only_or(mut conditions: Vec<Condition>, several: fn(Vec<Condition>) -> Condition) -> Condition {
    match (conditions.len(), conditions.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            conditions.extend(last);
            several(conditions)
        }
    }
}

fn of_word(field: String, word: String) -> Condition {
    match (field.as_str(), word.as_str()) {
        ("*", "*") => Condition::All,
        (_, "*" | "[* TO *]") => Condition::Exists { field },
        _ => match word.strip_suffix('*') {
            Some(start) if !start.contains('*') => Condition::Begins { field, start: start.to_owned() },
            _ => Condition::Is { field, value: word },
        },
    }
}

impl Condition {
    /// Returns whether a document fulfils the condition. `values` returns the values of a field.
    pub(super) fn fits<'a>(&self, values: &impl Fn(&str) -> Vec<std::borrow::Cow<'a, str>>) -> bool {
        match self {
            Self::All => true,
            Self::Is { field, value } => values(field).iter().any(|known| known == value),
            Self::Begins { field, start } => {
                values(field).iter().any(|known| known.starts_with(start.as_str()))
            }
            Self::Exists { field } => !values(field).is_empty(),
            Self::Not(inner) => !inner.fits(values),
            Self::And(inner) => inner.iter().all(|condition| condition.fits(values)),
            Self::Or(inner) => inner.iter().any(|condition| condition.fits(values)),
        }
    }

    /// Returns the names of all fields.
    pub(super) fn fields<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::All => {}
            Self::Is { field, .. } | Self::Begins { field, .. } | Self::Exists { field } => found.push(field),
            Self::Not(inner) => inner.fields(found),
            Self::And(inner) | Self::Or(inner) => inner.iter().for_each(|condition| condition.fields(found)),
        }
    }

    /// Returns pairs of a field in `fields` and a value. Every fitting document has one of them. `None` if the
    /// condition does not limit the documents so.
    pub(super) fn keys<'a>(&'a self, fields: &[&str]) -> Option<Vec<(&'a str, &'a str)>> {
        match self {
            Self::Is { field, value } if fields.contains(&field.as_str()) => Some(vec![(field, value)]),
            Self::And(inner) => {
                inner.iter().filter_map(|condition| condition.keys(fields)).min_by_key(Vec::len)
            }
            Self::Or(inner) => {
                let keys: Option<Vec<_>> = inner.iter().map(|condition| condition.keys(fields)).collect();
                keys.map(|keys| keys.concat())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Condition, parse};

    fn is(field: &str, value: &str) -> Condition {
        Condition::Is { field: field.to_owned(), value: value.to_owned() }
    }

    fn exists(field: &str) -> Condition {
        Condition::Exists { field: field.to_owned() }
    }

    fn not(condition: Condition) -> Condition {
        Condition::Not(Box::new(condition))
    }

    #[test]
    fn the_queries_of_known_clients() {
        use Condition::{And, Or};
        for (text, expected) in [
            ("*:*", Condition::All),
            ("id:\"urn:uuid:1\"", is("id", "urn:uuid:1")),
            ("id:doi\\:10.5063\\/A", is("id", "doi:10.5063/A")),
            ("id:urn:uuid:1", is("id", "urn:uuid:1")),
            (
                "formatType:METADATA AND -obsoletedBy:*",
                And(vec![is("formatType", "METADATA"), not(exists("obsoletedBy"))]),
            ),
            (
                "NOT obsoletedBy:* AND archived:false",
                And(vec![not(exists("obsoletedBy")), is("archived", "false")]),
            ),
            ("id:(\"A\" OR \"B\")", Or(vec![is("id", "A"), is("id", "B")])),
            ("(id:\"X\" OR seriesId:\"X\")", Or(vec![is("id", "X"), is("seriesId", "X")])),
            (
                "((formatType:METADATA AND (resourceMap:\"A\")) OR (id:\"A\"))",
                Or(vec![And(vec![is("formatType", "METADATA"), is("resourceMap", "A")]), is("id", "A")]),
            ),
            ("id:\"a \\\"b\\\"\"", is("id", "a \"b\"")),
            ("+id:A -id:B", And(vec![is("id", "A"), not(is("id", "B"))])),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn wrong_queries_have_a_reason() {
        for text in ["", "\u{c}", "(", ")", "id:", "id:\"", "X", "id:A)", "AND", "id:A AND", "-", "()"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
        assert!(parse(&"(".repeat(1000)).is_err());
        assert!(parse(&"-".repeat(60_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_query_or_has_a_reason(text in "[-+!()\"\\\\*:a-cAND OR NOT\\u{e4}]{0,60}") {
            if let Ok(condition) = parse(&text) {
                condition.fits(&|_: &str| Vec::new());
            }
        }
    }

    #[test]
    fn keys_limit_the_documents() {
        let keys = |text: &str| {
            let condition = parse(text).unwrap();
            let keys = condition.keys(&["id", "resourceMap"]);
            keys.map(|keys| {
                keys.into_iter().map(|(field, value)| format!("{field}={value}")).collect::<Vec<_>>()
            })
        };
        assert_eq!(keys("id:A AND formatType:DATA").unwrap(), ["id=A"]);
        assert_eq!(keys("id:(A OR B) AND resourceMap:M").unwrap(), ["resourceMap=M"]);
        assert_eq!(keys("id:A OR resourceMap:M").unwrap(), ["id=A", "resourceMap=M"]);
        assert_eq!(keys("id:A OR formatType:DATA"), None);
        assert_eq!(keys("-id:A"), None);
        assert_eq!(keys("*:*"), None);
    }
}

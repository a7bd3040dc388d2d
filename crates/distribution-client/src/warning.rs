//! Warnings of registries: the `Warning` header (RFC 7234 section 5.5; distribution-spec, "Warnings").

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes a registry's warnings. It is called once for each text.
pub type WarningSink = Arc<dyn Fn(&RegistryWarning<'_>) + Send + Sync>;

/// A registry's warning for its users.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RegistryWarning<'a> {
    /// Host of the registry.
    pub host: &'a str,
    /// The text, without control characters.
    pub text: &'a str,
}

/// Passes each warning on once.
pub(crate) struct Warnings {
    host: String,
    sink: Option<WarningSink>,
    seen: Mutex<HashSet<String>>,
}

/// The most different warnings that are passed on: a registry may invent a new one for every answer.
const MOST_WARNINGS: usize = 64;

impl Warnings {
    pub(crate) fn new(host: &str, sink: Option<WarningSink>) -> Self {
        Self { host: host.to_owned(), sink, seen: Mutex::default() }
    }

    pub(crate) fn note(&self, value: &str) {
        let Some(text) = parse_warning(value) else { return };
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= MOST_WARNINGS || !seen.insert(text.clone()) {
                return;
            }
        }
        match &self.sink {
            Some(sink) => sink(&RegistryWarning { host: &self.host, text: &text }),
            None => tracing::warn!(host = self.host, "{text}"),
        }
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Warnings").field("host", &self.host).finish_non_exhaustive()
    }
}

/// Reads `299 - "TEXT"`, the only form that the specification allows.
pub(crate) fn parse_warning(value: &str) -> Option<String> {
    let rest = value.trim().strip_prefix("299 ")?;
    let (_agent, rest) = rest.split_once(' ')?;
    let quoted = rest.trim().strip_prefix('"')?;
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => text.extend(characters.next().filter(|character| !character.is_control())),
            character if character.is_control() => {}
            character => text.push(character),
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_form_of_the_specification_is_a_warning() {
        for (value, expected) in [
            (r#"299 - "This repository will be removed""#, Some("This repository will be removed")),
            (r#"299 - "say \"no\" \\ go""#, Some(r#"say "no" \ go"#)),
            ("299 - \"red\x1b[31m\"", Some("red[31m")),
            ("299 - \"red\\\x1b[31m\"", Some("red[31m")),
            (r#"199 - "Misc""#, None),
            (r#"299 - """#, None),
            ("299 - unquoted", None),
            (r#"299 - "open"#, None),
            ("", None),
        ] {
            assert_eq!(parse_warning(value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn each_warning_is_passed_on_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink: WarningSink = {
            let heard = heard.clone();
            Arc::new(move |warning| heard.lock().unwrap().push(format!("{}: {}", warning.host, warning.text)))
        };
        let warnings = Warnings::new("r.example", Some(sink));
        for _ in 0..3 {
            warnings.note(r#"299 - "old""#);
        }
        for number in 0..1000 {
            warnings.note(&format!("299 - \"{number}\""));
        }
        let heard = heard.lock().unwrap();
        assert_eq!(heard[0], "r.example: old");
        assert_eq!(heard.len(), MOST_WARNINGS);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in "(299 - )?\\PC{0,40}") {
            let _ = parse_warning(&text);
        }
    }
}

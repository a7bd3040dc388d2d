//! The fields of a query or form.

use percent_encoding::percent_decode_str;

/// The fields of a query or form, in their order.
///
/// ```
/// let query = scripted_http::Query::of_url("scope=a+b&scope=c%2Fd");
/// assert_eq!(query.get("scope"), Some("a+b"));
/// assert_eq!(query.all("scope").last(), Some("c/d"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses the query of a URL, in which a `+` is a `+` (RFC 3986 section 3.4).
    #[must_use]
    pub fn of_url(text: &str) -> Self {
        Self::parse(text, |part| part.to_owned())
    }

    /// Parses a form, in which a `+` is a space.
    #[must_use]
    pub fn of_form(text: &str) -> Self {
        Self::parse(text, |part| part.replace('+', " "))
    }

    fn parse(text: &str, prepare: fn(&str) -> String) -> Self {
        let decode = |part: &str| percent_decode_str(&prepare(part)).decode_utf8_lossy().into_owned();
        let fields = text.split('&').filter(|field| !field.is_empty()).map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            (decode(name), decode(value))
        });
        Self(fields.collect())
    }

    /// Returns the first value of a field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// Returns all values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_forms_differ_in_the_plus() {
        let query = Query::of_url("a=b+c%2Fd&a=2&flag&=x");
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["b+c/d", "2"]);
        assert_eq!(query.get("flag"), Some(""));
        assert_eq!(query.get("absent"), None);
        assert_eq!(Query::of_form("q=id%3A%22a%2Bb%22&fl=a+b").get("fl"), Some("a b"));
        assert_eq!(Query::of_form("q=id%3A%22a%2Bb%22&fl=a+b").get("q"), Some("id:\"a+b\""));
    }
}

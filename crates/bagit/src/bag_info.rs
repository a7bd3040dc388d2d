//! The metadata of a bag, `bag-info.txt`: ordered elements of a label and a value (RFC 8493, section 2.2.2).

use crate::error::{Error, Result};
use crate::fault::{Fault, FaultCode};
use crate::report::Faults;
use crate::text::{is_blank, lines};
use crate::version::Version;

const FOLD_COLUMN: usize = 79;

/// Holds the elements of `bag-info.txt` in their order. Labels may repeat, and their case does not matter.
///
/// ```
/// use bagit::{BagInfo, Version};
///
/// let (info, faults) = BagInfo::parse("Contact-Name: Mooring Group\nBag-Count: 1 of 1\n", Version::V1_0);
/// assert!(faults.is_empty());
/// assert_eq!(info.get("bag-count"), Some("1 of 1"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BagInfo {
    elements: Vec<(String, String)>,
}

impl BagInfo {
    /// Returns metadata without elements.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an element at the end.
    ///
    /// # Errors
    /// [`Error::Tag`] if the label is empty or has a colon, a line end or white space around it, or if the value has lines or white space
    /// that a reader would lose.
    pub fn push(&mut self, label: &str, value: &str) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Tag { label: label.to_owned(), reason: reason.to_owned() });
        if label.is_empty() || label.contains([':', '\n', '\r']) {
            return refuse("a label must not be empty and must not have a colon or line end");
        }
        if label.starts_with(is_blank) || label.ends_with(is_blank) {
            return refuse("a label must not begin or end with white space");
        }
        if value.contains('\r')
            || value.split('\n').skip(1).any(|line| line.is_empty() || line.starts_with(is_blank))
        {
            return refuse(
                "a value must not have carriage returns, blank lines, or lines that begin with white space",
            );
        }
        self.elements.push((label.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Gives the first element with this label a new value and removes the others, or adds an element.
    ///
    /// # Errors
    /// As [`BagInfo::push`].
    pub fn set(&mut self, label: &str, value: &str) -> Result<()> {
        let place = self.elements.iter().position(|(held, _)| held.eq_ignore_ascii_case(label));
        self.push(label, value)?;
        let Some(place) = place else { return Ok(()) };
        let element = self.elements.pop();
        self.elements.retain(|(held, _)| !held.eq_ignore_ascii_case(label));
        element.into_iter().for_each(|element| self.elements.insert(place.min(self.elements.len()), element));
        Ok(())
    }

    /// Returns the first value of a label, with its line breaks.
    #[must_use]
    pub fn get(&self, label: &str) -> Option<&str> {
        self.iter().find(|(held, _)| held.eq_ignore_ascii_case(label)).map(|(_, value)| value)
    }

    /// Iterates over all values of a label.
    pub fn all<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(held, _)| held.eq_ignore_ascii_case(label)).map(|(_, value)| value)
    }

    /// Returns the first value of a label, with its lines joined by one space.
    #[must_use]
    pub fn get_unfolded(&self, label: &str) -> Option<String> {
        self.get(label).map(|value| value.replace('\n', " "))
    }

    /// Iterates over labels and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.elements.iter().map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// Says whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Reads the decoded text of a metadata file. Malformed lines become faults.
    #[must_use]
    pub fn parse(text: &str, version: Version) -> (Self, Faults) {
        let mut info = Self::new();
        let mut faults = Faults::default();
        for (number, line) in lines(text) {
            if line.starts_with(is_blank) {
                match info.elements.last_mut() {
                    Some((_, value)) => {
                        value.push('\n');
                        value.push_str(line.trim_start_matches(is_blank));
                    }
                    None => faults.push(malformed(number, "continues no other line")),
                }
                continue;
            }
            let Some((label, value)) = line.split_once(':') else {
                faults.push(malformed(number, "has no colon"));
                continue;
            };
            match element(label, value, version) {
                Some(("", value)) => {
                    faults.push(malformed(number, "has no label"));
                    info.elements.push((String::new(), value.to_owned()));
                }
                Some((label, value)) => info.elements.push((label.to_owned(), value.to_owned())),
                None => {
                    let message = format!(
                        "line {number} must have one space or tab after the colon and none before it"
                    );
                    faults.push(Fault::new(FaultCode::InfoWhitespace, None, message));
                    info.elements.push((
                        label.trim_matches(is_blank).to_owned(),
                        value.trim_matches(is_blank).to_owned(),
                    ));
                }
            }
        }
        info.elements.retain(|(label, _)| !label.is_empty());
        (info, faults)
    }

    /// Returns the text of the metadata file, with lines folded at 79 characters where a space allows it.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (label, value) in self.iter() {
            text.push_str(label);
            text.push_str(": ");
            let mut column = label.chars().count() + 2;
            for (index, line) in value.split('\n').enumerate() {
                if index > 0 {
                    text.push_str("\n  ");
                    column = 2;
                }
                fold_into(&mut text, line, column);
            }
            text.push('\n');
        }
        text
    }
}

fn malformed(number: usize, what: &str) -> Fault {
    Fault::new(FaultCode::InfoLineMalformed, None, format!("line {number} {what}"))
}

/// Returns label and value of one line, or `None` if version 1.0 does not allow its white space.
fn element<'a>(label: &'a str, value: &'a str, version: Version) -> Option<(&'a str, &'a str)> {
    if !version.is_rfc() {
        return Some((label.trim_matches(is_blank), value.trim_start_matches(is_blank)));
    }
    let value = if value.is_empty() { Some("") } else { value.strip_prefix(is_blank) };
    value.filter(|_| !label.ends_with(is_blank)).map(|value| (label, value))
}

/// Adds a line, broken at single spaces between words, so that unfolding restores it.
fn fold_into(text: &mut String, line: &str, mut column: usize) {
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        text.push_str(word);
        column += word.chars().count();
        let Some(next) = words.peek() else { return };
        // White space at the start of a line is lost when it is read.
        let lone = !word.is_empty() && !next.is_empty() && !next.starts_with('\t');
        if lone && column + 1 + next.chars().count() > FOLD_COLUMN {
            text.push_str("\n  ");
            column = 2;
        } else {
            text.push(' ');
            column += 1;
        }
    }
}

pub(crate) const OXUM_LABEL: &str = "Payload-Oxum";

/// Says whether a text is a date of the form YYYY-MM-DD with a possible month and day.
pub fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.trim_matches(is_blank).split('-').collect();
    let [year, month, day] = parts.as_slice() else { return false };
    let within = |part: &str, length: usize, most: u16| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit())
            && part.parse::<u16>().is_ok_and(|number| (1..=most).contains(&number))
    };
    within(year, 4, 9999) && within(month, 2, 12) && within(day, 2, 31)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, proptest};

    use super::{BagInfo, is_date};
    use crate::version::Version;

    fn parse(text: &str, version: Version) -> (Vec<(String, String)>, Vec<&'static str>) {
        let (info, faults) = BagInfo::parse(text, version);
        (info.elements, faults.kept().iter().map(|fault| fault.code.as_str()).collect())
    }

    fn pair(label: &str, value: &str) -> (String, String) {
        (label.to_owned(), value.to_owned())
    }

    #[test]
    fn elements_keep_their_order_and_repeat() {
        let (elements, faults) = parse("B: 1\r\nA: 2\nB: 3", Version::V1_0);
        assert_eq!(elements, [pair("B", "1"), pair("A", "2"), pair("B", "3")]);
        assert!(faults.is_empty());
    }

    #[test]
    fn continuation_lines_keep_their_line_break_and_unfold_to_a_space() {
        let (info, _) = BagInfo::parse("External-Description: one\n   two\n\tthree\n", Version::V1_0);
        assert_eq!(info.get("external-description"), Some("one\ntwo\nthree"));
        assert_eq!(info.get_unfolded("External-Description").as_deref(), Some("one two three"));
    }

    #[test]
    fn white_space_around_colons_depends_on_the_version() {
        let cases = [
            ("A : 1", Version::V0_97, "1", &[][..]),
            ("A\t:   1", Version::V0_97, "1", &[]),
            ("A:1", Version::V0_97, "1", &[]),
            ("A : 1", Version::V1_0, "1", &["info-whitespace"]),
            ("A:1", Version::V1_0, "1", &["info-whitespace"]),
            ("A:\t1", Version::V1_0, "1", &[]),
            ("A:  1", Version::V1_0, " 1", &[]),
            ("A:", Version::V1_0, "", &[]),
        ];
        for (text, version, value, codes) in cases {
            assert_eq!(parse(text, version), (vec![pair("A", value)], codes.to_vec()), "{text:?}");
        }
    }

    #[test]
    fn lines_without_a_label_are_malformed() {
        for text in ["  first\nA: 1", "no colon\nA: 1", ": 1\nA: 1", "\nA: 1"] {
            assert_eq!(
                parse(text, Version::V1_0),
                (vec![pair("A", "1")], vec!["info-line-malformed"]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn setting_replaces_in_place_and_removes_repeats() {
        let mut info = BagInfo::new();
        for (label, value) in [("a", "1"), ("b", "2"), ("A", "3")] {
            info.push(label, value).unwrap();
        }
        info.set("A", "4").unwrap();
        info.set("c", "5").unwrap();
        assert_eq!(info.iter().collect::<Vec<_>>(), [("A", "4"), ("b", "2"), ("c", "5")]);
    }

    #[test]
    fn elements_that_would_not_read_back_are_refused() {
        for (label, value) in [
            ("", "x"),
            ("a:b", "x"),
            (" a", "x"),
            ("a\n", "x"),
            ("a", "x\r"),
            ("a", "x\n\ny"),
            ("a", "x\n y"),
        ] {
            assert!(BagInfo::new().push(label, value).is_err(), "{label:?} {value:?}");
        }
    }

    #[test]
    fn dates_have_four_two_and_two_digits() {
        for text in ["2026-11-24", "2020-02-29"] {
            assert!(is_date(text), "{text}");
        }
        for text in ["2026-13-01", "2026-1-1", "24-11-2026", "2026-11-24T00:00:00Z", "", "2026-11-00"] {
            assert!(!is_date(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = BagInfo::parse(&text, Version::V1_0);
            let _ = BagInfo::parse(&text, Version::V0_97);
        }

        #[test]
        fn elements_round_trip_but_for_folding(
            elements in vec(("[A-Za-z-]{1,20}", "[ \t a-zé,.]{0,200}"), 0..6),
        ) {
            let mut info = BagInfo::new();
            for (label, value) in &elements {
                info.push(label, value).unwrap();
            }
            let (read, faults) = BagInfo::parse(&info.text(), Version::V1_0);
            assert!(faults.is_empty());
            let unfolded: Vec<_> = read.iter().map(|(label, value)| pair(label, &value.replace('\n', " "))).collect();
            assert_eq!(unfolded, elements);
        }
    }
}

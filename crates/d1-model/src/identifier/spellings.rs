//! The spellings of a DOI.

use super::Identifier;

/// The addresses that resolve a DOI, and the scheme of DataONE's identifiers.
const DOI_PREFIXES: [&str; 6] =
    ["https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "http://dx.doi.org/", "doi.org/", "doi:"];

pub(super) fn spellings_of(typed: &Identifier) -> Vec<Identifier> {
    let text = typed.as_str();
    let prefix = DOI_PREFIXES
        .iter()
        .find(|prefix| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)));
    let doi = prefix.and_then(|prefix| text.get(prefix.len()..)).unwrap_or(text);
    let mut spellings = vec![typed.clone()];
    if !is_doi(doi) {
        return spellings;
    }
    let (upper, lower) = (doi.to_ascii_uppercase(), doi.to_ascii_lowercase());
    let with_scheme = [doi, &upper, &lower].map(|doi| format!("doi:{doi}"));
    for spelling in with_scheme.into_iter().chain([format!("https://doi.org/{doi}"), doi.to_owned()]) {
        if let Ok(identifier) = spelling.parse::<Identifier>()
            && !spellings.contains(&identifier)
        {
            spellings.push(identifier);
        }
    }
    spellings
}

/// Tells whether a text is the name of a DOI, such as `10.18739/A2D795C92`.
fn is_doi(text: &str) -> bool {
    let Some((prefix, suffix)) = text.strip_prefix("10.").and_then(|rest| rest.split_once('/')) else {
        return false;
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    prefix.split('.').all(is_number) && !suffix.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doi_is_understood_in_its_spellings() {
        let spellings = |text: &str| text.parse::<Identifier>().unwrap().spellings();
        let stored: Identifier = "doi:10.18739/A2D795C92".parse().unwrap();
        for typed in [
            "doi:10.18739/A2D795C92",
            "DOI:10.18739/a2d795c92",
            "https://doi.org/10.18739/A2D795C92",
            "http://dx.doi.org/10.18739/a2d795c92",
            "10.18739/A2D795C92",
        ] {
            assert!(spellings(typed).contains(&stored), "{typed}");
            assert_eq!(spellings(typed)[0].as_str(), typed);
        }
        for other in ["urn:uuid:1", "10.18739", "10.x/y", "https://example.org/10.1/x"] {
            assert_eq!(spellings(other).len(), 1, "{other}");
        }
    }
}

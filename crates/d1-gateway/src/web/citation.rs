//! Citations of packages: BibTeX, RIS, CSL JSON, DataCite JSON.

use d1_catalog::d1_metadata::Citation;
use serde_json::{Value, json};

use super::described::Described;

/// Returns a text for a value of BibTeX. Line breaks become spaces.
fn bibtex_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '\\' => escaped += "\\textbackslash{}",
            '{' | '}' | '%' | '&' | '#' | '$' | '_' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '~' => escaped += "\\textasciitilde{}",
            '^' => escaped += "\\textasciicircum{}",
            other if other.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Returns the citation as a sentence.
pub(super) fn text(described: &Described) -> String {
    let place = match described.doi() {
        Some(doi) => format!("https://doi.org/{doi}"),
        None => described.page.clone(),
    };
    let version = (described.versions.len() > 1).then(|| format!("Version {}", described.version));
    let citation = Citation {
        creators: described.creators.iter().map(|creator| creator.name.as_str()).collect(),
        year: described.year(),
        title: &described.title,
        version: version.as_deref(),
        publisher: described.publisher.as_deref(),
        place: &place,
    };
    citation.to_string()
}

/// Returns the citation in BibTeX.
pub(super) fn bibtex(described: &Described) -> String {
    let key: String =
        described.key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let names: Vec<String> = described
        .creators
        .iter()
        .map(|creator| match (&creator.family, &creator.given) {
            (Some(family), Some(given)) => format!("{}, {}", bibtex_escaped(family), bibtex_escaped(given)),
            // Braces keep the name of an organisation together.
            _ => format!("{{{}}}", bibtex_escaped(&creator.name)),
        })
        .collect();
    let mut lines =
        vec![format!("@misc{{{key},"), format!("  title = {{{}}},", bibtex_escaped(&described.title))];
    let authors = names.join(" and ");
    for (name, value) in [
        ("author", (!authors.is_empty()).then_some(authors)),
        ("year", described.year().map(bibtex_escaped)),
        ("publisher", described.publisher.as_deref().map(bibtex_escaped)),
        ("doi", described.doi().map(bibtex_escaped)),
        ("version", Some(described.version.to_string())),
        ("url", Some(described.page.clone())),
    ] {
        lines.extend(value.map(|value| format!("  {name} = {{{value}}},")));
    }
    lines.push("}\n".to_owned());
    lines.join("\n")
}

/// Returns the citation as RIS.
pub(super) fn ris(described: &Described) -> String {
    let one_line = |text: &str| text.replace(|c: char| c.is_control(), " ");
    let mut lines = vec!["TY  - DATA".to_owned(), format!("TI  - {}", one_line(&described.title))];
    for creator in &described.creators {
        let name = match (&creator.family, &creator.given) {
            (Some(family), Some(given)) => format!("{family}, {given}"),
            _ => creator.name.clone(),
        };
        lines.push(format!("AU  - {}", one_line(&name)));
    }
    lines.extend(described.year().map(|year| format!("PY  - {}", one_line(year))));
    lines.extend(described.publisher.iter().map(|publisher| format!("PB  - {}", one_line(publisher))));
    lines.extend(described.doi().map(|doi| format!("DO  - {}", one_line(doi))));
    lines.push(format!("UR  - {}", described.page));
    lines.push("ER  - ".to_owned());
    lines.join("\r\n") + "\r\n"
}

/// Returns the citation as CSL JSON.
pub(super) fn csl(described: &Described) -> Value {
    let authors: Vec<Value> = described
        .creators
        .iter()
        .map(|creator| match (&creator.family, &creator.given) {
            (Some(family), Some(given)) => json!({ "family": family, "given": given }),
            _ => json!({ "literal": creator.name }),
        })
        .collect();
    let mut item = json!({
        "id": described.page,
        "type": "dataset",
        "title": described.title,
        "author": authors,
        "version": described.version.to_string(),
        "URL": described.page
    });
    let parts = described
        .published
        .as_deref()
        .unwrap_or_default()
        .split('-')
        .map_while(|part| part.parse::<u32>().ok());
    let parts: Vec<u32> = parts.collect();
    if let Some(item) = item.as_object_mut() {
        if !parts.is_empty() {
            item.insert("issued".to_owned(), json!({ "date-parts": [parts] }));
        }
        for (name, text) in [("publisher", described.publisher.as_deref()), ("DOI", described.doi())] {
            item.extend(text.map(|text| (name.to_owned(), json!(text))));
        }
    }
    item
}

/// Returns the citation as DataCite JSON.
pub(super) fn datacite(described: &Described) -> Value {
    let creators: Vec<Value> = described
        .creators
        .iter()
        .map(|creator| {
            json!({ "name": creator.name, "givenName": creator.given, "familyName": creator.family })
        })
        .collect();
    let identifiers: Vec<Value> = match (described.doi(), &described.identifier) {
        (Some(doi), _) => vec![json!({ "identifier": doi, "identifierType": "DOI" })],
        (None, Some(other)) => vec![json!({ "identifier": other, "identifierType": "Other" })],
        (None, None) => Vec::new(),
    };
    json!({
        "identifiers": identifiers,
        "creators": creators,
        "titles": [{ "title": described.title }],
        "publisher": described.publisher.as_deref().unwrap_or("unknown"),
        "publicationYear": described.year(),
        "types": { "resourceTypeGeneral": "Dataset" },
        "version": described.version.to_string(),
        "url": described.page,
        "sizes": [format!("{} bytes", described.bytes)]
    })
}

#[cfg(test)]
mod tests {
    use super::bibtex_escaped;

    #[test]
    fn a_title_cannot_leave_its_braces() {
        assert_eq!(bibtex_escaped("a}\n@misc{b, 5%\\"), "a\\} @misc\\{b, 5\\%\\textbackslash{}");
    }
}

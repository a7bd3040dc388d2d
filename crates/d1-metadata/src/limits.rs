//! Bounds of results: lists and texts that are too long are cut, and the result says so.

use crate::content::{Attribute, ScienceMetadata};

/// The longest abstract or description of methods, in bytes.
const LONGEST_PROSE: usize = 128 << 10;

/// The longest other text, in bytes.
const LONGEST_TEXT: usize = 8 << 10;

/// The most entries of a list.
const MOST_ENTRIES: usize = 10_000;

/// The most attributes of all entities together, and the most codes of an attribute.
const MOST_ATTRIBUTES: usize = 50_000;
const MOST_CODES: usize = 1000;

/// Cuts a document's content to the bounds.
pub(crate) fn apply(metadata: &mut ScienceMetadata) {
    let mut cut = Cut::default();
    cut.optional(&mut metadata.r#abstract, LONGEST_PROSE);
    cut.optional(&mut metadata.methods, LONGEST_PROSE);
    let ScienceMetadata { package_id, title, publisher, published, license, license_url, language, .. } =
        metadata;
    for text in [package_id, title, publisher, published, license, license_url, language] {
        cut.optional(text, LONGEST_TEXT);
    }
    for list in [&mut metadata.other_titles, &mut metadata.keywords, &mut metadata.places] {
        cut.list(list);
        list.iter_mut().for_each(|text| cut.text(text, LONGEST_TEXT));
    }
    cut.list(&mut metadata.creators);
    for party in &mut metadata.creators {
        cut.text(&mut party.name, LONGEST_TEXT);
        for text in [&mut party.given, &mut party.family, &mut party.organization, &mut party.email] {
            cut.optional(text, LONGEST_TEXT);
        }
    }
    cut.list(&mut metadata.taxa);
    for taxon in &mut metadata.taxa {
        cut.text(&mut taxon.name, LONGEST_TEXT);
        cut.optional(&mut taxon.rank, LONGEST_TEXT);
        cut.optional(&mut taxon.common_name, LONGEST_TEXT);
    }
    cut.list(&mut metadata.boxes);
    metadata.boxes.iter_mut().for_each(|place| cut.optional(&mut place.description, LONGEST_TEXT));
    cut.list(&mut metadata.periods);
    cut.list(&mut metadata.funding);
    cut.list(&mut metadata.entities);
    let mut attributes = MOST_ATTRIBUTES;
    for entity in &mut metadata.entities {
        for text in [&mut entity.name, &mut entity.description, &mut entity.object_name, &mut entity.url] {
            cut.optional(text, LONGEST_TEXT);
        }
        if entity.attributes.len() > attributes {
            entity.attributes.truncate(attributes);
            cut.any = true;
        }
        attributes -= entity.attributes.len();
        entity.attributes.iter_mut().for_each(|attribute| cut.attribute(attribute));
    }
    metadata.truncated |= cut.any;
}

#[derive(Default)]
struct Cut {
    any: bool,
}

impl Cut {
    fn text(&mut self, text: &mut String, longest: usize) {
        if text.len() > longest {
            text.truncate(text.floor_char_boundary(longest));
            self.any = true;
        }
    }

    fn optional(&mut self, text: &mut Option<String>, longest: usize) {
        if let Some(text) = text {
            self.text(text, longest);
        }
    }

    fn list<T>(&mut self, list: &mut Vec<T>) {
        if list.len() > MOST_ENTRIES {
            list.truncate(MOST_ENTRIES);
            self.any = true;
        }
    }

    fn attribute(&mut self, attribute: &mut Attribute) {
        self.text(&mut attribute.name, LONGEST_TEXT);
        for text in [&mut attribute.label, &mut attribute.definition, &mut attribute.unit] {
            self.optional(text, LONGEST_TEXT);
        }
        if attribute.codes.len() > MOST_CODES {
            attribute.codes.truncate(MOST_CODES);
            self.any = true;
        }
        for code in &mut attribute.codes {
            self.text(&mut code.code, LONGEST_TEXT);
            self.text(&mut code.definition, LONGEST_TEXT);
        }
        attribute.missing.truncate(MOST_CODES);
    }
}

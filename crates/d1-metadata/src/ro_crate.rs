//! RO-Crate: the metadata document of a crate, flattened JSON-LD (RO-Crate 1.1 and 1.2).

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::content::{
    Award, BoundingBox, Entity, MetadataFormat, Party, Period, ScienceMetadata, Taxon, orcid_in,
};
use crate::error::{Error, Result};
use crate::place::{around, coordinate};

type Object = Map<String, Value>;

/// The most entities of a crate.
const MOST_ENTITIES: usize = 200_000;

/// How many values of one property are read.
const MOST_VALUES: usize = 10_000;

/// Reads a document.
pub(crate) fn read(text: &str) -> Result<ScienceMetadata> {
    let document: Value = serde_json::from_str(text)
        .map_err(|error| Error::Malformed(error.to_string().chars().take(200).collect()))?;
    let Some(Value::Array(graph)) = document.get("@graph") else {
        return Err(Error::UnknownFormat { root: "JSON without @graph".to_owned() });
    };
    if graph.len() > MOST_ENTITIES {
        return Err(Error::TooLarge { limit: MOST_ENTITIES, things: "entities" });
    }
    let entities = graph.iter().filter_map(Value::as_object);
    let by_id = entities.filter_map(|entity| Some((entity.get("@id")?.as_str()?, entity))).collect();
    let graph = Graph { by_id };
    let descriptor = graph.by_id.iter().find(|(id, _)| id.ends_with("ro-crate-metadata.json"));
    let root = descriptor.and_then(|(_, entity)| graph.linked(entity, "about").into_iter().next());
    let root = root.and_then(|id| graph.by_id.get(id).copied()).or_else(|| graph.by_id.get("./").copied());
    let Some(root) = root else {
        return Err(Error::UnknownFormat { root: "JSON without a root dataset".to_owned() });
    };
    Ok(graph.describe(root))
}

struct Graph<'a> {
    by_id: HashMap<&'a str, &'a Object>,
}

/// Returns the values of a property: one, or those of a list.
fn values<'a>(entity: &'a Object, name: &str) -> impl Iterator<Item = &'a Value> {
    let (one, many) = match entity.get(name) {
        Some(Value::Array(list)) => (None, list.as_slice()),
        other => (other, [].as_slice()),
    };
    one.into_iter().chain(many).take(MOST_VALUES)
}

/// Returns a value as text.
fn text_of(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(object) => object.get("@value")?.as_str()?.trim().to_owned(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

fn text(entity: &Object, name: &str) -> Option<String> {
    values(entity, name).find_map(text_of)
}

impl<'a> Graph<'a> {
    /// Returns the identifiers that a property links to.
    fn linked<'b>(&self, entity: &'b Object, name: &str) -> Vec<&'b str> {
        values(entity, name).filter_map(|value| value.get("@id")?.as_str()).collect()
    }

    /// Returns the entities that a property links to or holds.
    fn entities(&self, entity: &'a Object, name: &str) -> Vec<&'a Object> {
        let find = |value: &'a Value| {
            let object = value.as_object()?;
            let linked = object.get("@id").and_then(Value::as_str).and_then(|id| self.by_id.get(id).copied());
            Some(linked.unwrap_or(object))
        };
        values(entity, name).filter_map(find).collect()
    }

    /// Returns the name of a linked entity, or the text of the property.
    fn name(&self, entity: &'a Object, name: &str) -> Option<String> {
        let linked = self.entities(entity, name).into_iter().find_map(|linked| text(linked, "name"));
        linked
            .or_else(|| text(entity, name))
            .or_else(|| self.linked(entity, name).first().map(|id| (*id).to_owned()))
    }

    fn describe(&self, root: &'a Object) -> ScienceMetadata {
        let mut metadata = ScienceMetadata {
            format: MetadataFormat::RoCrate,
            package_id: self.name(root, "identifier"),
            title: text(root, "name"),
            other_titles: values(root, "alternateName").filter_map(text_of).collect(),
            publisher: self.name(root, "publisher"),
            published: text(root, "datePublished"),
            r#abstract: text(root, "abstract").or_else(|| text(root, "description")),
            language: self.name(root, "inLanguage"),
            license: self.name(root, "license"),
            ..ScienceMetadata::default()
        };
        let is_address = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
        let license = self.linked(root, "license").into_iter().find(is_address).map(str::to_owned);
        metadata.license_url =
            license.or_else(|| text(root, "license").filter(|text| is_address(&text.as_str())));
        for property in ["creator", "author"] {
            let named = values(root, property).filter_map(Value::as_str);
            let named = named.map(|name| Party { name: name.to_owned(), ..Party::default() });
            let parties = self.entities(root, property).into_iter().filter_map(|entity| self.party(entity));
            for party in parties.chain(named).take(MOST_VALUES) {
                if metadata.creators.len() < MOST_VALUES && !metadata.creators.contains(&party) {
                    metadata.creators.push(party);
                }
            }
        }
        for keywords in values(root, "keywords").filter_map(text_of) {
            metadata.keywords.extend(
                keywords.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()),
            );
        }
        for place in self.entities(root, "spatialCoverage") {
            self.add_place(place, &mut metadata);
        }
        metadata.places.extend(values(root, "spatialCoverage").filter_map(text_of));
        metadata.periods =
            values(root, "temporalCoverage").filter_map(text_of).filter_map(|text| period(&text)).collect();
        metadata.funding =
            ["funder", "funding"].iter().flat_map(|name| self.entities(root, name)).map(award).collect();
        metadata.taxa = self
            .entities(root, "about")
            .into_iter()
            .filter(|entity| values(entity, "@type").any(|kind| kind.as_str() == Some("Taxon")))
            .filter_map(|entity| {
                Some(Taxon {
                    rank: text(entity, "taxonRank"),
                    name: text(entity, "name")?,
                    common_name: None,
                })
            })
            .collect();
        metadata.entities =
            self.entities(root, "hasPart").into_iter().filter_map(|entity| self.file(entity)).collect();
        metadata
    }

    fn party(&self, entity: &'a Object) -> Option<Party> {
        let (given, family) = (text(entity, "givenName"), text(entity, "familyName"));
        let id = entity.get("@id").and_then(Value::as_str);
        let full: Vec<&str> = [&given, &family].into_iter().filter_map(Option::as_deref).collect();
        let name = text(entity, "name").or_else(|| (!full.is_empty()).then(|| full.join(" ")));
        Some(Party {
            name: name.or_else(|| id.map(str::to_owned))?,
            organization: self.name(entity, "affiliation"),
            orcid: id
                .and_then(orcid_in)
                .or_else(|| text(entity, "identifier").and_then(|text| orcid_in(&text))),
            email: text(entity, "email"),
            given,
            family,
        })
    }

    fn add_place(&self, place: &'a Object, metadata: &mut ScienceMetadata) {
        let name = text(place, "name");
        let shapes = self.entities(place, "geo");
        let found = shapes.into_iter().chain([place]).find_map(|shape| boxed(shape, name.clone()));
        match found {
            Some(found) => metadata.boxes.push(found),
            None => metadata.places.extend(name),
        }
    }

    fn file(&self, entity: &'a Object) -> Option<Entity> {
        let id = entity.get("@id")?.as_str()?;
        let checksum = text(entity, "sha256").map(|value| ("SHA-256".to_owned(), value));
        Some(Entity {
            kind: text(entity, "@type").unwrap_or_else(|| "File".to_owned()),
            id: Some(id.to_owned()),
            name: text(entity, "name"),
            description: text(entity, "description"),
            object_name: Some(id.trim_start_matches("./").to_owned()),
            size: text(entity, "contentSize").and_then(|size| size.parse().ok()),
            checksum,
            format: self.name(entity, "encodingFormat"),
            ..Entity::default()
        })
    }
}

fn award(entity: &Object) -> Award {
    let kind = values(entity, "@type").any(|kind| kind.as_str() == Some("Grant"));
    let name = text(entity, "name");
    Award {
        funder: name.clone().filter(|_| !kind),
        number: text(entity, "identifier").filter(|_| kind),
        title: name.filter(|_| kind),
        url: text(entity, "url"),
    }
}

/// Reads a `GeoShape` (`box` is two points `latitude longitude`) or `GeoCoordinates`.
fn boxed(shape: &Object, description: Option<String>) -> Option<BoundingBox> {
    if let Some(corners) = text(shape, "box").or_else(|| text(shape, "polygon")) {
        let numbers: Vec<f64> = corners
            .split([' ', ','])
            .filter(|part| !part.is_empty())
            .take(MOST_VALUES)
            .filter_map(coordinate)
            .collect();
        let points: Vec<(f64, f64)> =
            numbers.chunks_exact(2).filter_map(|pair| Some((*pair.get(1)?, *pair.first()?))).collect();
        return around(&points, description);
    }
    let number = |name| text(shape, name).and_then(|text| coordinate(&text));
    around(&[(number("longitude")?, number("latitude")?)], description)
}

fn period(text: &str) -> Option<Period> {
    let (begin, end) = text.split_once('/').unwrap_or((text, text));
    let date = |text: &str| crate::time::day_range(text).map(|_| text.trim().to_owned());
    let (begin, end) = (date(begin), date(end));
    (begin.is_some() || end.is_some()).then_some(Period { begin, end })
}

//! The entries of the search: their words, boxes and stored content.

use std::io::{Read, Write};

use d1_metadata::{BoundingBox, Entity, Party, ScienceMetadata};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use rusqlite::Connection;

/// How many boxes of one record the search knows. A box across the antimeridian counts twice.
pub(crate) const MOST_AREAS: i64 = 64;

/// How many periods of one record the search knows.
pub(crate) const MOST_PERIODS: usize = 1000;

/// The largest content of a record, as JSON.
const LARGEST_CONTENT: u64 = 64 << 20;

/// Returns the content of a document as it is stored.
pub(crate) fn compressed(metadata: &ScienceMetadata) -> Vec<u8> {
    let json = serde_json::to_vec(metadata).unwrap_or_default();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(6));
    // Writing to memory does not fail.
    let _ = encoder.write_all(&json);
    encoder.finish().unwrap_or_default()
}

/// Reads the content of a document. Anything else gives an empty one.
pub(crate) fn decompressed(stored: &[u8]) -> ScienceMetadata {
    let mut json = Vec::new();
    let read = ZlibDecoder::new(stored).take(LARGEST_CONTENT).read_to_end(&mut json);
    read.ok().and_then(|_| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// The words of a record, by the columns of the index.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) title: String,
    pub(crate) creator: String,
    pub(crate) prose: String,
    pub(crate) keyword: String,
    pub(crate) taxon: String,
    pub(crate) place: String,
    pub(crate) attribute: String,
    pub(crate) other: String,
}

/// The longest column, in bytes. More words are not searched.
const LONGEST_COLUMN: usize = 256 << 10;

impl Words {
    pub(crate) fn of(metadata: &ScienceMetadata, title: Option<&str>, other: &str) -> Self {
        let mut words = Self::default();
        let own = metadata.title.iter().chain(&metadata.other_titles).map(String::as_str);
        own.chain(title.filter(|title| metadata.title.as_deref() != Some(title)))
            .for_each(|text| add(&mut words.title, text));
        for Party { name, organization, orcid, .. } in &metadata.creators {
            add(&mut words.creator, name);
            organization.iter().filter(|text| *text != name).for_each(|text| add(&mut words.creator, text));
            orcid.iter().for_each(|text| add(&mut words.creator, text));
        }
        metadata.r#abstract.iter().chain(&metadata.methods).for_each(|text| add(&mut words.prose, text));
        metadata.keywords.iter().for_each(|text| add(&mut words.keyword, text));
        for taxon in &metadata.taxa {
            add(&mut words.taxon, &taxon.name);
            taxon.common_name.iter().for_each(|text| add(&mut words.taxon, text));
        }
        let described = metadata.boxes.iter().filter_map(|found| found.description.as_ref());
        described.chain(&metadata.places).for_each(|text| add(&mut words.place, text));
        for entity in &metadata.entities {
            words.add_entity(entity);
        }
        add(&mut words.other, other);
        metadata.publisher.iter().chain(&metadata.package_id).for_each(|text| add(&mut words.other, text));
        for award in &metadata.funding {
            let texts = [&award.funder, &award.number, &award.title].into_iter().flatten();
            texts.for_each(|text| add(&mut words.other, text));
        }
        words
    }

    fn add_entity(&mut self, entity: &Entity) {
        let texts = [&entity.name, &entity.description, &entity.object_name].into_iter().flatten();
        texts.for_each(|text| add(&mut self.attribute, text));
        for attribute in &entity.attributes {
            add(&mut self.attribute, &attribute.name);
            let texts = [&attribute.label, &attribute.definition, &attribute.unit].into_iter().flatten();
            texts.for_each(|text| add(&mut self.attribute, text));
        }
    }
}

fn add(column: &mut String, text: &str) {
    if column.len() + text.len() < LONGEST_COLUMN {
        column.push_str(text);
        column.push('\n');
    }
}

/// Returns the rows of the table `area`: west, south, east, north.
pub(crate) fn areas(record: i64, boxes: &[BoundingBox]) -> Vec<(i64, [f64; 4])> {
    let mut areas = Vec::new();
    for found in boxes {
        let BoundingBox { west, south, east, north, .. } = *found;
        if west <= east {
            areas.push([west, south, east, north]);
        } else {
            areas.push([west, south, 180.0, north]);
            areas.push([-180.0, south, east, north]);
        }
    }
    let first = record.saturating_mul(MOST_AREAS);
    (first..first.saturating_add(MOST_AREAS)).zip(areas).collect()
}

/// Removes the entries of an artifact from the indexes that do not follow the table `record`.
pub(crate) fn remove(connection: &Connection, artifact: i64) -> rusqlite::Result<()> {
    let mut records = connection.prepare_cached("SELECT id FROM record WHERE artifact = ?1")?;
    let records = records.query_map([artifact], |row| row.get(0))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for record in records {
        connection.prepare_cached("DELETE FROM words WHERE rowid = ?1")?.execute([record])?;
        let first = record.saturating_mul(MOST_AREAS);
        for id in first..first.saturating_add(MOST_AREAS) {
            if connection.prepare_cached("DELETE FROM area WHERE id = ?1")?.execute([id])? == 0 {
                break;
            }
        }
    }
    Ok(())
}

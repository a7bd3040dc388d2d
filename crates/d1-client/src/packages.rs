//! Finding the packages of an identifier, by the node's search index.

use std::collections::HashSet;

use d1_model::{DateTime, FormatType, Identifier, RESOURCE_MAP_FORMAT_ID};
use http_transfer::{Method, looks_like_html, shortened};
use serde::{Deserialize, Deserializer};

use crate::client::NodeClient;
use crate::error::{Context, ErrorKind, Result};
use crate::exchange::query;
use crate::refusal::MOST_CHARACTERS;

/// The most objects that document one object, and the most maps that are considered.
const MOST_CANDIDATES: usize = 1000;

/// The packages of an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageSearch {
    /// The object; where a series was asked for, its head.
    pub object: Identifier,
    /// The kind of object.
    pub format_type: Option<FormatType>,
    /// The resource maps: none if the object is in no package, several if a person has to choose.
    pub resource_maps: Vec<Identifier>,
}

impl NodeClient {
    /// Finds the resource maps of the packages of an identifier: of a map, of metadata, of data, or of a series of these.
    ///
    /// The rules are those of the R client (`rdataone`, `getDataPackage`). A map stands for itself. Metadata belong to
    /// their maps. Data belong to the maps of the metadata that document them. Obsolete maps are dropped. An object that
    /// the search index does not know can still be a map, by its system metadata.
    ///
    /// # Errors
    ///
    /// [`NotImplemented`](ErrorKind::NotImplemented) if the node has no search index and the identifier is not a map's;
    /// [`NotFound`](ErrorKind::NotFound) if the index does not know the identifier and it is not a map's.
    ///
    /// ```no_run
    /// use d1_client::{ClientOptions, NodeClient};
    ///
    /// # async fn find() -> Result<(), Box<dyn std::error::Error>> {
    /// let node = NodeClient::new("https://arcticdata.io/metacat/d1/mn", &ClientOptions::default())?;
    /// let found = node.find_packages(&"doi:10.18739/A2D795C92".parse()?).await?;
    /// for map in &found.resource_maps {
    ///     println!("{map}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn find_packages(&self, identifier: &Identifier) -> Result<PackageSearch> {
        let context = self.context("find the package of", identifier);
        let unknown = match self.find_entry(identifier, &context).await {
            Ok(Some(entry)) => return self.packages_of(entry, &context).await,
            Ok(None) => context.error(ErrorKind::NotFound).because("the search index does not know it"),
            Err(error) if error.kind() == ErrorKind::NotImplemented => {
                let reason = "the node has no search index; name a resource map instead";
                error.because(reason)
            }
            Err(error) => return Err(error),
        };
        let meta = self.meta(identifier).await?.value;
        if meta.format_id != RESOURCE_MAP_FORMAT_ID {
            return Err(unknown);
        }
        let resource_maps = vec![meta.identifier.clone()];
        Ok(PackageSearch { object: meta.identifier, format_type: Some(FormatType::Resource), resource_maps })
    }

    async fn find_entry(&self, identifier: &Identifier, context: &Context) -> Result<Option<Entry>> {
        let values = std::slice::from_ref(identifier);
        let question = Question { field: "id", values, current_only: false };
        let found = self.search(question, context).await?;
        if let Some(entry) = found.into_iter().find(|entry| entry.id == identifier.as_str()) {
            return Ok(Some(entry));
        }
        let found = self.search(Question { field: "seriesId", ..question }, context).await?;
        Ok(head(found))
    }

    async fn packages_of(&self, entry: Entry, context: &Context) -> Result<PackageSearch> {
        let object: Identifier = entry
            .id
            .parse()
            .map_err(|error| context.protocol(format!("the index names it “{}”: {error}", entry.id)))?;
        let format_type = entry.format_type.as_deref().map(format_type);
        let resource_maps = match &format_type {
            Some(FormatType::Resource) => vec![object.clone()],
            Some(FormatType::Data) => self.maps_of_data(&entry, context).await?,
            _ => identifiers(&entry.resource_map),
        };
        let resource_maps = self.current(resource_maps, context).await?;
        Ok(PackageSearch { object, format_type, resource_maps })
    }

    /// Returns the maps of the metadata that document an object, or the object's own if there are none.
    async fn maps_of_data(&self, entry: &Entry, context: &Context) -> Result<Vec<Identifier>> {
        let values = &identifiers(&entry.is_documented_by);
        let question = Question { field: "id", values, current_only: false };
        let documenting = self.search(question, context).await?;
        let maps = documenting.iter().flat_map(|entry| &entry.resource_map);
        let maps = identifiers(maps);
        Ok(if maps.is_empty() { identifiers(&entry.resource_map) } else { maps })
    }

    /// Drops obsolete maps, unless that leaves none.
    async fn current(&self, maps: Vec<Identifier>, context: &Context) -> Result<Vec<Identifier>> {
        if maps.len() < 2 {
            return Ok(maps);
        }
        let question = Question { field: "id", values: &maps, current_only: true };
        let found = self.search(question, context).await?;
        let current: HashSet<_> = found.into_iter().map(|entry| entry.id).collect();
        let kept: Vec<_> = maps.iter().filter(|map| current.contains(map.as_str())).cloned().collect();
        Ok(if kept.is_empty() { maps } else { kept })
    }
}

fn format_type(name: &str) -> FormatType {
    [FormatType::Data, FormatType::Metadata, FormatType::Resource]
        .into_iter()
        .find(|known| known.name() == name)
        .unwrap_or_else(|| FormatType::Other(name.to_owned()))
}

/// Returns the head of a series: the entry that is not obsolete, or the last one uploaded.
fn head(entries: Vec<Entry>) -> Option<Entry> {
    let uploaded =
        |entry: &Entry| DateTime::from_text(entry.date_uploaded.clone().unwrap_or_default()).instant();
    entries.into_iter().max_by_key(|entry| (entry.obsoleted_by.is_none(), uploaded(entry)))
}

/// Returns texts as identifiers, each once, without those that are not identifiers.
fn identifiers<'a>(texts: impl IntoIterator<Item = &'a String>) -> Vec<Identifier> {
    let mut seen = HashSet::new();
    let parsed = texts.into_iter().filter_map(|text| text.parse::<Identifier>().ok());
    parsed.filter(|identifier| seen.insert(identifier.clone())).take(MOST_CANDIDATES).collect()
}

/// The fields that a question asks for.
const FIELDS: &str = "id,seriesId,formatType,resourceMap,isDocumentedBy,obsoletedBy,dateUploaded";
/// How many entries a question asks for. Without a number, an index answers with ten.
const ROWS: &str = "1000";
/// The largest answer, in bytes.
const LARGEST_ANSWER: u64 = 16 * 1024 * 1024;
/// How many identifiers one question names, so that URLs stay short.
const IDENTIFIERS_AT_ONCE: usize = 10;

/// An entry of a node's search index (`query/solr`).
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    id: String,
    #[serde(default)]
    format_type: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    resource_map: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    is_documented_by: Vec<String>,
    #[serde(default)]
    obsoleted_by: Option<String>,
    #[serde(default)]
    date_uploaded: Option<String>,
}

/// A question to the index: all entries whose field has one of the values.
#[derive(Clone, Copy, Debug)]
struct Question<'a> {
    field: &'static str,
    values: &'a [Identifier],
    /// Whether obsolete entries are left out.
    current_only: bool,
}

#[derive(Deserialize)]
struct Reply {
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    docs: Vec<Entry>,
}

impl NodeClient {
    /// Asks the index. The error is [`NotImplemented`](ErrorKind::NotImplemented) if the node has none.
    async fn search(&self, question: Question<'_>, context: &Context) -> Result<Vec<Entry>> {
        let mut found = Vec::new();
        for values in question.values.chunks(IDENTIFIERS_AT_ONCE) {
            found.extend(self.search_once(Question { values, ..question }, context).await?);
        }
        Ok(found)
    }

    async fn search_once(&self, question: Question<'_>, context: &Context) -> Result<Vec<Entry>> {
        let text = question.text();
        let mut parameters = vec![("q", text.as_str()), ("fl", FIELDS), ("rows", ROWS), ("wt", "json")];
        if question.current_only {
            parameters.push(("fq", "-obsoletedBy:*"));
        }
        let call = self.call(Method::GET, "query/solr/", &query(parameters), context).await?;
        let answer =
            self.exchange(&call, LARGEST_ANSWER, context).await.map_err(|error| match error.kind() {
                // The question names no object: the index itself is missing.
                ErrorKind::NotFound => error.with_kind(ErrorKind::NotImplemented),
                _ => error,
            })?;
        let reply: Reply = serde_json::from_slice(&answer.body).map_err(|error| {
            let what = if looks_like_html(&answer.body) { "a web page" } else { "an unreadable document" };
            let reason =
                format!("the index answers with {what}: {}", shortened(&error.to_string(), MOST_CHARACTERS));
            context.protocol(reason)
        })?;
        Ok(reply.response.docs)
    }
}

impl Question<'_> {
    /// Writes the question in the syntax of Solr.
    fn text(&self) -> String {
        let quoted: Vec<_> = self.values.iter().map(|value| phrase(value.as_str())).collect();
        match quoted.as_slice() {
            [one] => format!("{}:{one}", self.field),
            many => format!("{}:({})", self.field, many.join(" OR ")),
        }
    }
}

/// Writes a text as a phrase. Inside quotes only these two characters have a meaning.
fn phrase(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Option::<OneOrMany>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![text],
        Some(OneOrMany::Many(texts)) => texts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_quote_their_values() {
        let values: Vec<Identifier> = [r#"a"b\c"#, "x*:?"].map(|text| text.parse().unwrap()).into();
        let question = |count| Question { field: "id", values: &values[..count], current_only: false }.text();
        assert_eq!(question(1), r#"id:"a\"b\\c""#);
        assert_eq!(question(2), r#"id:("a\"b\\c" OR "x*:?")"#);
    }

    #[test]
    fn entries_have_one_value_or_many() {
        let reply: Reply = serde_json::from_str(
            r#"{"responseHeader":{},"response":{"numFound":2,"docs":[
                {"id":"a","formatType":"DATA","isDocumentedBy":["m","n"],"resourceMap":"r"},{"id":"b"}]}}"#,
        )
        .unwrap();
        let [first, second] = &reply.response.docs[..] else { panic!("two entries") };
        assert_eq!(first.is_documented_by, ["m", "n"]);
        assert_eq!(first.resource_map, ["r"]);
        assert!(second.resource_map.is_empty() && second.format_type.is_none());
    }
}

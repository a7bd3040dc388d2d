//! Questions to a node's search index (`query/solr`).

use d1_model::Identifier;
use reqwest::Method;
use serde::{Deserialize, Deserializer};

use crate::client::NodeClient;
use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::http::query::query;
use crate::refusal::{looks_like_html, shortened};

/// The fields that are asked for.
const FIELDS: &str = "id,seriesId,formatType,resourceMap,isDocumentedBy,obsoletedBy,dateUploaded";
/// How many entries are asked for at once. Without a number an index answers with ten.
const ROWS: &str = "1000";
/// The largest answer, in bytes.
const LARGEST_ANSWER: usize = 16 * 1024 * 1024;
/// How many identifiers are asked for at once, so that URLs stay short.
const IDENTIFIERS_AT_ONCE: usize = 10;

/// What the index knows about an object.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    pub(super) id: String,
    #[serde(default)]
    pub(super) format_type: Option<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) resource_map: Vec<String>,
    #[serde(default, deserialize_with = "one_or_many")]
    pub(super) is_documented_by: Vec<String>,
    #[serde(default)]
    pub(super) obsoleted_by: Option<String>,
    #[serde(default)]
    pub(super) date_uploaded: Option<String>,
}

/// A question to the index: all entries of which the field has one of the values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) field: &'static str,
    pub(super) values: &'a [Identifier],
    /// Whether only entries count that nothing obsoletes.
    pub(super) current_only: bool,
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
    /// Asks the index.
    ///
    /// # Errors
    ///
    /// [`NotImplemented`](ErrorKind::NotImplemented) if the node has none.
    pub(super) async fn search(&self, question: Question<'_>, context: &Context) -> Result<Vec<Entry>> {
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
                // Nothing is asked for by its name here: what is not found is the index.
                ErrorKind::NotFound => error.with_kind(ErrorKind::NotImplemented),
                _ => error,
            })?;
        let reply: Reply = serde_json::from_slice(&answer.body).map_err(|error| {
            let what = if looks_like_html(&answer.body) { "a web page" } else { "what cannot be read" };
            let reason = format!("the index answers with {what}: {}", shortened(&error.to_string()));
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

/// Writes a text as a phrase: in quotes only these two characters mean something.
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

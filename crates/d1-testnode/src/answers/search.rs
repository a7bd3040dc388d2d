//! The search index, for questions by identifier.

use std::collections::BTreeSet;

use d1_model::Identifier;
use scripted_http::axum::response::Response;
use serde_json::{Map, Value, json};

use crate::answer::{Answer, Answered, Refused};
use crate::catalog::{Catalog, format_type};
use crate::exchange::Exchange;
use crate::object::StoredObject;

/// How many entries are sent unless more are asked for: Solr's own number, which catches those who forget to ask.
const ROWS: usize = 10;

/// Answers `GET /query/solr/`: `FIELD:"VALUE"` or `FIELD:("VALUE" OR …)`, with `fq=-obsoletedBy:*`, as JSON.
pub(crate) fn answer(exchange: &Exchange<'_>) -> Answered {
    if !exchange.app.behaviour.search {
        return Err(Refused::new("NotImplemented", 501, "2824", "there is no search index"));
    }
    let invalid = || Refused::new("InvalidRequest", 400, "2823", "this question is not understood here");
    let (field, values) = exchange.parameter("q").and_then(parse_question).ok_or_else(invalid)?;
    let current_only = match exchange.parameter("fq") {
        None => false,
        Some("-obsoletedBy:*") => true,
        Some(_) => return Err(invalid()),
    };
    if exchange.parameter("wt") != Some("json") {
        return Err(invalid());
    }
    let rows = exchange.parameter("rows").map_or(Some(ROWS), |rows| rows.parse().ok()).ok_or_else(invalid)?;
    let catalog = exchange.app.catalog();
    let mut found = Vec::new();
    for value in values.iter().filter_map(|value| value.parse::<Identifier>().ok()) {
        match field {
            "id" => found.extend(catalog.get(&value)),
            "seriesId" => found.extend(catalog.series(&value)),
            _ => return Err(invalid()),
        }
    }
    found.retain(|object| exchange.may_read(object) && !(current_only && object.meta.obsoleted_by.is_some()));
    let fields: BTreeSet<_> = exchange.parameter("fl").unwrap_or_default().split(',').collect();
    let entries: Vec<_> = found.iter().take(rows).map(|object| entry(&catalog, object, &fields)).collect();
    Ok(reply(found.len(), entries))
}

fn reply(found: usize, entries: Vec<Value>) -> Response {
    let body = json!({
        "responseHeader": { "status": 0 },
        "response": { "numFound": found, "start": 0, "docs": entries },
    });
    Answer::text(200, "application/json", body.to_string()).response()
}

fn entry(catalog: &Catalog, object: &StoredObject, fields: &BTreeSet<&str>) -> Value {
    let meta = &object.meta;
    let mut entry = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let (true, Some(value)) = (fields.contains(name) || fields.contains(""), value) {
            entry.insert(name.to_owned(), value);
        }
    };
    let text =
        |identifier: &Option<Identifier>| identifier.as_ref().map(|identifier| json!(identifier.as_str()));
    put("id", Some(json!(meta.identifier.as_str())));
    put("formatId", Some(json!(meta.format_id)));
    put("formatType", Some(json!(format_type(object).name())));
    put("seriesId", text(&meta.series_id));
    put("obsoletes", text(&meta.obsoletes));
    put("obsoletedBy", text(&meta.obsoleted_by));
    put("dateUploaded", meta.date_uploaded.as_ref().map(|date| json!(date.text())));
    if let Some(relations) = catalog.relations(&meta.identifier) {
        let many = |identifiers: &BTreeSet<Identifier>| {
            let texts: Vec<_> = identifiers.iter().map(Identifier::as_str).collect();
            (!texts.is_empty()).then(|| json!(texts))
        };
        put("resourceMap", many(&relations.maps));
        put("documents", many(&relations.documents));
        put("isDocumentedBy", many(&relations.documented_by));
    }
    Value::Object(entry)
}

fn parse_question(question: &str) -> Option<(&str, Vec<String>)> {
    let (field, rest) = question.split_once(':')?;
    let inner = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(rest);
    let mut values = Vec::new();
    let mut rest = inner;
    loop {
        let (value, after) = parse_phrase(rest)?;
        values.push(value);
        if after.is_empty() {
            return Some((field, values));
        }
        rest = after.strip_prefix(" OR ")?;
    }
}

/// Reads a phrase in quotes, and returns it with what comes after it.
fn parse_phrase(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.strip_prefix('"')?.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(place + 2..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::parse_question;

    #[test]
    fn questions_are_understood() {
        let question =
            |text| parse_question(text).map(|(field, values)| (field.to_owned(), values.join("|")));
        let expected = |field: &str, values: &str| Some((field.to_owned(), values.to_owned()));
        assert_eq!(question(r#"id:"a\"b\\c:d""#), expected("id", r#"a"b\c:d"#));
        assert_eq!(question(r#"id:("é" OR "b")"#), expected("id", "é|b"));
        for bad in ["", "id:a", "id:\"a", "id:(\"a\" AND \"b\")", "*:*"] {
            assert_eq!(question(bad), None, "{bad}");
        }
    }
}

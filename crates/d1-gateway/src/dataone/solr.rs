//! The search interface: the part of Solr that clients of DataONE need to find packages, members and versions.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::Method;
use d1_catalog::d1_metadata::ScienceMetadata;
use d1_catalog::{Catalog, CatalogObject, ObjectFilter, PackageKey, Relations, SystemMetadataFacts};
use d1_model::{FormatType, ObjectFormatList, encode_path_segment};
use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::query::{Condition, parse};
use super::{Answered, Call, Codes, document, documents};
use crate::answer::{self, Refused};
use crate::request::Query;
use crate::xml::{DECLARATION, element, escaped};

/// Returns the numbers of failures, which differ between the two kinds of nodes.
pub(super) fn codes(is_coordinating: bool) -> Codes {
    let member = Codes {
        not_found: "2825",
        not_authorized: "2822",
        invalid: "2823",
        failure: "2821",
        not_implemented: "2824",
        resources: "2821",
    };
    let coordinating = Codes {
        not_found: "4325",
        not_authorized: "4324",
        invalid: "4323",
        failure: "4321",
        not_implemented: "4320",
        resources: "4321",
    };
    if is_coordinating { coordinating } else { member }
}

/// The most documents of one answer.
const MOST_ROWS: usize = 10_000;
/// The number of documents without a request.
const DEFAULT_ROWS: usize = 10;
/// The most objects that a query looks at.
const MOST_SCANNED: u64 = 100_000;
/// How many objects are read from the catalogue at once.
const PAGE: u64 = 1000;
/// The most values that limit a query.
const MOST_KEYS: usize = 10_000;

/// Answers the calls of the search interface.
pub(super) async fn answer(call: &Call<'_>) -> Answered {
    let is_read = call.request.method != Method::POST;
    let parameters = match call.segments.as_slice() {
        ["query"] | ["query", ""] if is_read => return Ok(document(documents::query_engines())),
        ["query", "solr"] | ["query", "solr", ""] => parameters(call, "")?,
        ["query", "solr", rest @ ..] => parameters(call, &rest.join("/"))?,
        _ => return Err(Refused::not_found("this node has only the query engine solr")),
    };
    if parameters.is_empty() && is_read {
        return Ok(document(description()));
    }
    let search = Search::of(&parameters)?;
    let base_url = call.member_url();
    let node = call.app.options.node.identifier.clone();
    let asked = search.clone();
    let found = call.app.store.ask(move |catalog| asked.run(catalog, &Place { base_url, node })).await?;
    let found = found?;
    Ok(match parameters.get("wt") {
        Some("json") => answer::full(axum::http::StatusCode::OK, "application/json", search.json(&found)),
        _ => document(search.xml(&found)),
    })
}

/// Collects the parameters from the query, else from the path, and from a form.
fn parameters(call: &Call<'_>, path: &str) -> Result<Query, Refused> {
    let mut parameters = match call.request.query.is_empty() {
        true => Query::parse(path.strip_prefix("%3F").unwrap_or(path)),
        false => call.request.query.clone(),
    };
    if !call.form.is_empty() {
        let form =
            std::str::from_utf8(&call.form).map_err(|_| Refused::invalid("expected a form in UTF-8"))?;
        let content_type = call.request.header("content-type").unwrap_or_default();
        match content_type.split_once("boundary=") {
            Some((_, boundary)) => parameters.extend(multipart(form, boundary.trim_matches('"'))),
            None => parameters.extend(Query::parse(form)),
        }
    }
    Ok(parameters)
}

/// Reads the text fields of a form (RFC 7578).
fn multipart(form: &str, boundary: &str) -> Query {
    let mut fields = Query::default();
    for part in form.split(&format!("--{boundary}")).skip(1).take(256) {
        let Some((head, body)) = part.split_once("\r\n\r\n") else { continue };
        let Some((_, name)) = head.split_once("name=\"") else { continue };
        let name = name.split('"').next().unwrap_or_default();
        fields.push(name, body.strip_suffix("\r\n").unwrap_or(body).to_owned());
    }
    fields
}

/// The facts about the gateway that documents state.
struct Place {
    base_url: String,
    node: String,
}

/// A search, as its parameters say.
#[derive(Clone, Debug)]
struct Search {
    query: String,
    condition: Condition,
    fields: Vec<String>,
    rows: usize,
    start: usize,
    /// Fields to sort by, and whether the largest comes first.
    sort: Vec<(String, bool)>,
    group: Option<String>,
}

/// The documents of an answer.
struct Found {
    total: usize,
    documents: Vec<Document>,
}

type Document = BTreeMap<&'static str, Value>;

/// The value of a field.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Date(String),
    Long(u64),
    Bool(bool),
    Float(f64),
}

/// The fields, with their types. `s` is text, `m` several texts, `d` a date, `l` a number, `b` a truth value, `f` a fraction.
const FIELDS: [(&str, char); 41] = [
    ("abstract", 's'),
    ("archived", 'b'),
    ("authoritativeMN", 's'),
    ("author", 's'),
    ("beginDate", 'd'),
    ("checksum", 's'),
    ("checksumAlgorithm", 's'),
    ("dataUrl", 's'),
    ("datasource", 's'),
    ("dateModified", 'd'),
    ("dateUploaded", 'd'),
    ("documents", 'm'),
    ("eastBoundCoord", 'f'),
    ("endDate", 'd'),
    ("fileName", 's'),
    ("formatId", 's'),
    ("formatType", 's'),
    ("id", 's'),
    ("identifier", 's'),
    ("isDocumentedBy", 'm'),
    ("isPublic", 'b'),
    ("keywords", 'm'),
    ("mediaType", 's'),
    ("northBoundCoord", 'f'),
    ("obsoletedBy", 's'),
    ("obsoletes", 's'),
    ("origin", 'm'),
    ("pubDate", 'd'),
    ("readPermission", 'm'),
    ("replicaMN", 'm'),
    ("resourceMap", 'm'),
    ("rightsHolder", 's'),
    ("seriesId", 's'),
    ("size", 'l'),
    ("southBoundCoord", 'f'),
    ("submitter", 's'),
    ("text", 's'),
    ("title", 's'),
    ("updateDate", 'd'),
    ("version", 's'),
    ("westBoundCoord", 'f'),
];

/// Returns the list of fields, for clients that ask what they may search.
fn description() -> String {
    let mut fields = String::new();
    for (name, kind) in FIELDS {
        let (type_name, is_multiple) = match kind {
            'm' => ("string", true),
            'd' => ("tdate", false),
            'l' => ("long", false),
            'b' => ("boolean", false),
            'f' => ("tfloat", false),
            _ => ("string", false),
        };
        let _ = write!(
            fields,
            "<queryField><name>{name}</name><type>{type_name}</type><searchable>true</searchable>\
             <returnable>true</returnable><sortable>{}</sortable><multivalued>{is_multiple}</multivalued></queryField>",
            !is_multiple
        );
    }
    format!(
        "{DECLARATION}<ns:queryEngineDescription xmlns:ns=\"http://ns.dataone.org/service/types/v1.1\">\
         <queryEngineVersion>1</queryEngineVersion><name>solr</name>{fields}</ns:queryEngineDescription>\n"
    )
}

impl Search {
    fn of(parameters: &Query) -> Result<Self, Refused> {
        let query = parameters.get("q").unwrap_or("*:*").to_owned();
        let mut conditions = vec![parse(&query).map_err(Refused::invalid)?];
        for filter in parameters.all("fq").filter(|filter| !filter.trim().is_empty()) {
            conditions.push(parse(filter).map_err(Refused::invalid)?);
        }
        // As at DataONE's nodes: archived objects are found only by those who ask for them.
        if parameters.get("archived").is_none() {
            let archived = Condition::Is { field: "archived".to_owned(), value: "true".to_owned() };
            conditions.push(Condition::Not(Box::new(archived)));
        }
        let condition = Condition::And(conditions);
        let mut used = Vec::new();
        condition.fields(&mut used);
        if let Some(unknown) = used.iter().find(|used| !FIELDS.iter().any(|(name, _)| name == *used)) {
            return Err(Refused::invalid(format!("the field `{unknown}` cannot be searched")));
        }
        let number = |name: &str, default: usize| match parameters.get(name) {
            None | Some("") => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Refused::invalid(format!("expected a number in `{name}`")))
            }
        };
        let fields = parameters.all("fl").flat_map(|list| list.split([',', ' ']));
        let fields = fields.map(str::trim).filter(|name| !name.is_empty() && *name != "*");
        let sort = parameters.get("sort").unwrap_or_default().split(',').filter_map(|part| {
            let (field, direction) = part.trim().split_once(' ').unwrap_or((part.trim(), "asc"));
            (!field.is_empty()).then(|| (field.to_owned(), direction.trim() == "desc"))
        });
        let is_grouped = parameters.get("group") == Some("true");
        Ok(Self {
            condition,
            fields: fields.map(str::to_owned).collect(),
            rows: number("rows", DEFAULT_ROWS)?.min(MOST_ROWS),
            start: number("start", 0)?,
            sort: sort.collect(),
            group: parameters.get("group.field").filter(|_| is_grouped).map(str::to_owned),
            query,
        })
    }

    /// Runs the search. The inner error is for the client.
    fn run(&self, catalog: &Catalog, place: &Place) -> d1_catalog::Result<Result<Found, Refused>> {
        let mut fitting = Vec::new();
        let mut consider = |object: CatalogObject| -> d1_catalog::Result<()> {
            if !object.is_public() {
                return Ok(());
            }
            let document = document_of(catalog, object, place)?;
            if self.condition.fits(&|field: &str| texts(&document, field)) {
                fitting.push(document);
            }
            Ok(())
        };
        match self.condition.keys(&["id", "identifier", "seriesId", "resourceMap"]) {
            Some(keys) if keys.len() > MOST_KEYS => {
                return Ok(Err(Refused::invalid("the query names too many identifiers")));
            }
            Some(keys) => {
                for object in objects_of_keys(catalog, &keys)?.into_values() {
                    consider(object)?;
                }
            }
            None => {
                let mut filter = ObjectFilter::default();
                filter.public_only = true;
                let mut start = 0;
                loop {
                    let page = catalog.objects(&filter, start, PAGE)?;
                    if page.total > MOST_SCANNED {
                        let message =
                            "the query is too general here: name an id, a seriesId or a resourceMap";
                        return Ok(Err(Refused::invalid(message)));
                    }
                    start += PAGE;
                    page.items.into_iter().try_for_each(&mut consider)?;
                    if start >= page.total {
                        break;
                    }
                }
            }
        }
        fitting.sort_by(|one, other| self.compare(one, other));
        let total = fitting.len();
        let documents = match self.group {
            // Groups have all their documents: clients ask for them with `group.limit=-1`.
            Some(_) => fitting,
            None => fitting.into_iter().skip(self.start).take(self.rows).collect(),
        };
        Ok(Ok(Found { total, documents }))
    }

    fn compare(&self, one: &Document, other: &Document) -> Ordering {
        for (field, is_descending) in &self.sort {
            let order = match (one.get(field.as_str()), other.get(field.as_str())) {
                (Some(Value::Long(one)), Some(Value::Long(other))) => one.cmp(other),
                (Some(Value::Float(one)), Some(Value::Float(other))) => one.total_cmp(other),
                _ => texts(one, field).cmp(&texts(other, field)),
            };
            if order != Ordering::Equal {
                return if *is_descending { order.reverse() } else { order };
            }
        }
        texts(one, "id").cmp(&texts(other, "id"))
    }

    /// Returns the fields of a document that the client wants.
    fn wanted<'a>(&'a self, document: &'a Document) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let is_wanted =
            |name: &str| self.fields.is_empty() || self.fields.iter().any(|wanted| wanted == name);
        document.iter().map(|(name, value)| (*name, value)).filter(move |(name, _)| is_wanted(name))
    }

    /// Returns the documents by the value of the field to group by.
    fn groups<'a>(&self, field: &str, found: &'a Found) -> BTreeMap<String, Vec<&'a Document>> {
        let mut groups: BTreeMap<String, Vec<&Document>> = BTreeMap::new();
        for document in &found.documents {
            let value = texts(document, field).first().map(ToString::to_string).unwrap_or_default();
            groups.entry(value).or_default().push(document);
        }
        groups
    }

    fn json(&self, found: &Found) -> String {
        let document = |document: &Document| {
            let fields = self.wanted(document).map(|(name, value)| (name.to_owned(), value.json()));
            Json::Object(fields.collect())
        };
        let parameters = json!({ "q": self.query, "rows": self.rows.to_string(), "start": self.start.to_string(), "wt": "json" });
        let header = json!({ "status": 0, "QTime": 0, "params": parameters });
        let body = match &self.group {
            Some(field) => {
                let groups = self.groups(field, found).into_iter().map(|(value, documents)| {
                    let documents: Vec<_> = documents.into_iter().map(document).collect();
                    let list = json!({ "numFound": documents.len(), "start": 0, "docs": documents });
                    json!({ "groupValue": value, "doclist": list })
                });
                let groups: Vec<_> = groups.collect();
                json!({ "responseHeader": header, "grouped": { field: { "matches": found.total, "groups": groups } } })
            }
            None => {
                let documents: Vec<_> = found.documents.iter().map(document).collect();
                let list = json!({ "numFound": found.total, "start": self.start, "docs": documents });
                json!({ "responseHeader": header, "response": list })
            }
        };
        body.to_string()
    }

    fn xml(&self, found: &Found) -> String {
        let mut body = format!(
            "{DECLARATION}<response><lst name=\"responseHeader\"><int name=\"status\">0</int><int name=\"QTime\">0</int>\
             <lst name=\"params\"><str name=\"q\">{}</str><str name=\"rows\">{}</str><str name=\"start\">{}</str></lst></lst>\
             <result name=\"response\" numFound=\"{}\" start=\"{}\">",
            escaped(&self.query),
            self.rows,
            self.start,
            found.total,
            self.start
        );
        for document in &found.documents {
            body += "<doc>";
            for (name, value) in self.wanted(document) {
                body += &value.xml(name);
            }
            body += "</doc>";
        }
        body + "</result></response>\n"
    }
}

impl Value {
    fn json(&self) -> Json {
        match self {
            Self::Text(text) | Self::Date(text) => Json::from(text.as_str()),
            Self::Texts(texts) => Json::from(texts.as_slice()),
            Self::Long(number) => Json::from(*number),
            Self::Bool(value) => Json::from(*value),
            Self::Float(number) => Json::from(*number),
        }
    }

    fn xml(&self, name: &str) -> String {
        match self {
            Self::Text(text) => format!("<str name=\"{name}\">{}</str>", escaped(text)),
            Self::Date(text) => format!("<date name=\"{name}\">{}</date>", escaped(text)),
            Self::Long(number) => format!("<long name=\"{name}\">{number}</long>"),
            Self::Bool(value) => format!("<bool name=\"{name}\">{value}</bool>"),
            Self::Float(number) => format!("<float name=\"{name}\">{number}</float>"),
            Self::Texts(texts) => {
                let items: String = texts.iter().map(|text| element("str", text)).collect();
                format!("<arr name=\"{name}\">{items}</arr>")
            }
        }
    }
}

/// Returns the values of a field as texts.
fn texts<'a>(document: &'a Document, field: &str) -> Vec<Cow<'a, str>> {
    match document.get(field) {
        None => Vec::new(),
        Some(Value::Text(text) | Value::Date(text)) => vec![Cow::Borrowed(text)],
        Some(Value::Texts(texts)) => texts.iter().map(|text| Cow::Borrowed(text.as_str())).collect(),
        Some(Value::Long(number)) => vec![Cow::Owned(number.to_string())],
        Some(Value::Bool(value)) => vec![Cow::Borrowed(if *value { "true" } else { "false" })],
        Some(Value::Float(number)) => vec![Cow::Owned(number.to_string())],
    }
}

/// Returns the objects that the keys of a query name, by PID.
fn objects_of_keys(
    catalog: &Catalog,
    keys: &[(&str, &str)],
) -> d1_catalog::Result<BTreeMap<String, CatalogObject>> {
    let mut objects = BTreeMap::new();
    for (field, value) in keys {
        let found = match *field {
            "seriesId" => {
                let mut filter = ObjectFilter::default();
                filter.identifier = Some((*value).to_owned());
                filter.public_only = true;
                catalog.objects(&filter, 0, PAGE)?.items
            }
            "resourceMap" => members(catalog, value)?,
            _ => catalog.object_by_pid(value)?.into_iter().collect(),
        };
        objects.extend(found.into_iter().map(|object| (object.pid.clone(), object)));
    }
    Ok(objects)
}

/// Returns the objects in the package of a resource map.
fn members(catalog: &Catalog, map: &str) -> d1_catalog::Result<Vec<CatalogObject>> {
    let Some(package) = catalog.package(&PackageKey::Identifier(map))? else { return Ok(Vec::new()) };
    let Some(root) = catalog.directory(package.id, "")? else { return Ok(Vec::new()) };
    let mut members = Vec::new();
    let (mut after, mut read) = (None, 0);
    while read < MOST_SCANNED {
        let files = catalog.files(&root, after, PAGE)?;
        let Some(last) = files.last() else { break };
        after = Some(last.id);
        read += files.len() as u64;
        for pid in files.iter().filter_map(|file| file.pid.as_deref()) {
            members.extend(catalog.object_by_pid(pid)?);
        }
    }
    Ok(members)
}

/// Returns the document of an object.
fn document_of(catalog: &Catalog, object: CatalogObject, place: &Place) -> d1_catalog::Result<Document> {
    let mut document = Document::new();
    let Relations { documents, documented_by, resource_maps, .. } = catalog.relations(&object.pid)?;
    let format_type = type_of(&object);
    let mut put = |name: &'static str, value: Value| {
        document.insert(name, value);
    };
    put("dataUrl", Value::Text(format!("{}/v2/object/{}", place.base_url, encode_path_segment(&object.pid))));
    put("datasource", Value::Text(place.node.clone()));
    put("formatType", Value::Text(format_type.name().to_owned()));
    put("readPermission", Value::Texts(vec!["public".to_owned()]));
    for (name, values) in
        [("documents", documents), ("isDocumentedBy", documented_by), ("resourceMap", resource_maps)]
    {
        if !values.is_empty() {
            put(name, Value::Texts(values));
        }
    }
    if format_type == FormatType::Metadata
        && let Some(metadata) = catalog.science_metadata_of(&object.pid)?
    {
        put_science_metadata(&metadata, &mut put);
    }
    match object.system_metadata {
        Some(facts) => put_system_metadata(object.pid, facts, object.obsoleted_by, &mut put),
        None => put("id", Value::Text(object.pid)),
    }
    Ok(document)
}

fn put_system_metadata(
    pid: String,
    facts: SystemMetadataFacts,
    successor: Option<String>,
    put: &mut impl FnMut(&'static str, Value),
) {
    for (name, text) in [
        ("authoritativeMN", facts.authoritative_node),
        ("checksum", Some(facts.checksum)),
        ("checksumAlgorithm", Some(facts.checksum_algorithm)),
        ("fileName", facts.file_name),
        ("formatId", Some(facts.format_id)),
        ("mediaType", facts.media_type),
        ("obsoletedBy", successor),
        ("obsoletes", facts.obsoletes),
        ("rightsHolder", Some(facts.rights_holder)),
        ("seriesId", facts.series_id),
        ("submitter", facts.submitter),
        ("identifier", Some(pid.clone())),
        ("id", Some(pid)),
    ] {
        if let Some(text) = text {
            put(name, Value::Text(text));
        }
    }
    for (name, date) in [
        ("dateModified", facts.date_modified),
        ("updateDate", facts.date_modified),
        ("dateUploaded", facts.date_uploaded),
    ] {
        if let Some(date) = date {
            put(name, Value::Date(solr_date(date)));
        }
    }
    put("archived", Value::Bool(facts.archived));
    put("isPublic", Value::Bool(facts.is_public));
    put("size", Value::Long(facts.size));
    put("replicaMN", Value::Texts(facts.replica_nodes));
}

fn type_of(object: &CatalogObject) -> FormatType {
    let format_id = object.system_metadata.as_ref().map(|facts| facts.format_id.as_str());
    let format = format_id.and_then(|format_id| ObjectFormatList::builtin().get(format_id));
    format.map_or(FormatType::Data, |format| format.format_type.clone())
}

/// Returns a date as Solr writes it.
fn solr_date(date: Timestamp) -> String {
    date.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn put_science_metadata(metadata: &ScienceMetadata, put: &mut impl FnMut(&'static str, Value)) {
    let names: Vec<String> = metadata.creators.iter().map(|party| party.name.clone()).collect();
    if let Some(first) = names.first() {
        put("author", Value::Text(first.clone()));
        put("origin", Value::Texts(names));
    }
    for (name, text) in [("title", &metadata.title), ("abstract", &metadata.r#abstract)] {
        if let Some(text) = text {
            put(name, Value::Text(text.clone()));
        }
    }
    if !metadata.keywords.is_empty() {
        put("keywords", Value::Texts(metadata.keywords.clone()));
    }
    // Only whole dates have the form that the field demands.
    let date = |text: &Option<String>| text.as_ref()?.get(..10)?.parse::<jiff::civil::Date>().ok();
    for (name, text) in [
        ("pubDate", &metadata.published),
        ("beginDate", &metadata.periods.first().and_then(|period| period.begin.clone())),
        ("endDate", &metadata.periods.first().and_then(|period| period.end.clone())),
    ] {
        if let Some(date) = date(text) {
            put(name, Value::Date(format!("{date}T00:00:00Z")));
        }
    }
    if let Some(bounds) = metadata.boxes.first() {
        put("northBoundCoord", Value::Float(bounds.north));
        put("southBoundCoord", Value::Float(bounds.south));
        put("eastBoundCoord", Value::Float(bounds.east));
        put("westBoundCoord", Value::Float(bounds.west));
    }
}

#[cfg(test)]
mod tests {
    use super::multipart;

    #[test]
    fn forms_of_browsers_are_read() {
        let form = "--x\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\nid:\"A\"\r\n--x\r\n\
                    Content-Disposition: form-data; name=\"wt\"\r\n\r\njson\r\n--x--\r\n";
        let query = multipart(form, "x");
        assert_eq!((query.get("q"), query.get("wt")), (Some("id:\"A\""), Some("json")));
        assert!(multipart("--x", "x").is_empty() && multipart(form, "other").is_empty());
    }
}

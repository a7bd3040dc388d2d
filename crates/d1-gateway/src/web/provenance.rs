//! How the files of a package came from each other, as its resource map states it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use d1_catalog::{Catalog, CatalogPackage};
use d1_model::{Identifier, Provenance};
use serde_json::{Value, json};

use super::kept;
use super::page::{Frame, Link, cut, render};
use crate::answer::{Kind, Refused};
use crate::app::App;
use crate::packages::{self, object_url};
use crate::request::{Request, path_decoded};

/// How many runs and derivations a page shows. The JSON has all.
const MOST_SHOWN: usize = 200;
/// How many objects a page shows on each side of a run.
const MOST_OBJECTS: usize = 30;

#[derive(Template)]
#[template(path = "provenance.html")]
struct ProvenancePage {
    frame: Frame,
    package: Link,
    json: String,
    rows: Vec<Row>,
    more: usize,
}

/// A run of a program, or a derivation whose program is not known: sources, programs, products.
struct Row {
    sides: [Vec<Node>; 3],
}

/// An object; those that are not public here have no link.
struct Node {
    name: String,
    url: Option<String>,
}

/// Answers a request below `/provenance`: a page, or with `format=json` all statements.
pub(crate) async fn provenance(
    app: &Arc<App>,
    request: &Request,
    raw_key: &str,
) -> Result<Response, Refused> {
    let key = path_decoded(raw_key).ok_or_else(|| Refused::invalid("expected UTF-8 in the path"))?;
    let package = packages::package(app, &key).await?;
    if !packages::is_readable(&package) {
        return Err(packages::not_public());
    }
    let stated = stated(app, &package).await?;
    if request.query.get("format") == Some("json") {
        return Ok(kept(request, "application/json", as_json(&stated).to_string()));
    }
    let base = request.base_url.clone();
    let title = package.summary.title.as_ref().or(package.summary.identifier.as_ref());
    let title = title.map_or_else(|| package.summary.tag.to_string(), |title| cut(title, 120));
    let (rows, more) = app.store.ask(move |catalog| rows(catalog, &base, &stated)).await?;
    render(&ProvenancePage {
        frame: Frame::of(app, request),
        package: Link::new(format!("{}/p/{raw_key}/", request.base_url), title),
        json: format!("{}/provenance/{raw_key}?format=json", request.base_url),
        rows,
        more,
    })
}

/// Reads the statements of the package's resource map.
async fn stated(app: &Arc<App>, package: &CatalogPackage) -> Result<Provenance, Refused> {
    let none = || Refused::not_found("the package has no resource map");
    let (map, id) = (package.summary.resource_map.clone().ok_or_else(none)?, package.id);
    let asked = app.store.ask(move |catalog| {
        if !catalog.object_by_pid(&map)?.is_some_and(|object| object.is_public()) {
            return Ok(None);
        }
        let mut copies = catalog.copies(&map)?;
        copies.sort_by_key(|file| file.package != id);
        Ok(copies.into_iter().next())
    });
    let file = asked.await?.ok_or_else(none)?;
    let bytes = app.store.read_document(&file).await?;
    let failed = |_| Refused::new(Kind::ServiceFailure, "the resource map cannot be read");
    let read = tokio::task::spawn_blocking(move || Provenance::read(&bytes[..])).await;
    read.map_err(failed)?.map_err(|error| {
        Refused::new(Kind::ServiceFailure, format!("the resource map of the package cannot be read: {error}"))
    })
}

fn as_json(stated: &Provenance) -> Value {
    let texts = |list: &[Identifier]| -> Vec<String> { list.iter().map(ToString::to_string).collect() };
    let runs: Vec<Value> = stated
        .runs
        .iter()
        .map(|run| {
            json!({
                "programs": texts(&run.programs),
                "used": texts(&run.used),
                "generated": texts(&run.generated),
            })
        })
        .collect();
    let derivations: Vec<Value> = stated
        .derivations
        .iter()
        .map(|(product, source)| json!({ "product": product.as_str(), "source": source.as_str() }))
        .collect();
    json!({ "runs": runs, "derivations": derivations })
}

/// Returns the rows of the page, and how many others there are.
fn rows(catalog: &Catalog, base_url: &str, stated: &Provenance) -> d1_catalog::Result<(Vec<Row>, usize)> {
    // The runs that wrote an object, and those that read it. Pairs of both could be far too many.
    let (mut written, mut read) = (HashMap::new(), HashMap::new());
    let mut rows: Vec<[Vec<&Identifier>; 3]> = Vec::new();
    for (number, run) in stated.runs.iter().enumerate() {
        run.generated.iter().for_each(|object| written.entry(object).or_insert_with(Vec::new).push(number));
        run.used
            .iter()
            .for_each(|object| _ = read.entry(object).or_insert_with(BTreeSet::new).insert(number));
        let sides = [&run.used, &run.programs, &run.generated];
        rows.push(sides.map(|side| side.iter().take(MOST_OBJECTS).collect()));
    }
    // A derivation that a run explains is shown once.
    let mut alone: HashMap<&Identifier, Vec<&Identifier>> = HashMap::new();
    let mut order = Vec::new();
    for (product, source) in &stated.derivations {
        let runs = written.get(product).map_or(&[][..], Vec::as_slice);
        let is_told =
            |runs_of: &BTreeSet<usize>| runs.iter().take(MOST_OBJECTS).any(|run| runs_of.contains(run));
        if !read.get(source).is_some_and(is_told) {
            let sources = alone.entry(product).or_default();
            if sources.is_empty() {
                order.push(product);
            }
            sources.push(source);
        }
    }
    for product in order {
        let sources = alone.remove(product).unwrap_or_default();
        rows.push([sources.into_iter().take(MOST_OBJECTS).collect(), Vec::new(), vec![product]]);
    }
    let more = rows.len().saturating_sub(MOST_SHOWN);
    rows.truncate(MOST_SHOWN);
    let side = |objects: Vec<&Identifier>| -> d1_catalog::Result<Vec<Node>> {
        objects.into_iter().map(|object| node(catalog, base_url, object)).collect()
    };
    let shown: d1_catalog::Result<Vec<Row>> = rows
        .into_iter()
        .map(|[sources, programs, products]| {
            Ok(Row { sides: [side(sources)?, side(programs)?, side(products)?] })
        })
        .collect();
    Ok((shown?, more))
}

fn node(catalog: &Catalog, base_url: &str, object: &Identifier) -> d1_catalog::Result<Node> {
    let known = catalog.object_by_pid(object.as_str())?.filter(d1_catalog::CatalogObject::is_public);
    Ok(match known {
        Some(known) => Node {
            name: cut(known.file.path.rsplit('/').next().unwrap_or_default(), 80),
            url: Some(object_url(base_url, &known.pid)),
        },
        None => Node { name: cut(object.as_str(), 120), url: None },
    })
}

//! The page of a file: facts, a preview, checksums and their proof, its metadata compared with its data.

use std::sync::Arc;

use askama::Template;
use axum::response::Response;
use d1_catalog::d1_metadata::Entity;
use d1_catalog::{CatalogFile, CatalogPackage};

use super::entities::Sign;
use super::listing::kind;
use super::package::{ColumnView, Fact};
use super::page::{Frame, Link, bytes, count, crumbs, cut, paragraphs, render};
use super::preview::{self, Archive, HexRow, Outline, Preview, Text};
use super::proof::{self, Compared};
use super::snippets::{self, Snippet};
use super::table::{self, Column, Finding, Kind, Table, Wanted, value_in_words};
use crate::answer::Refused;
use crate::app::App;
use crate::packages::{self, file_url};
use crate::request::Request;

/// How many rows and cells of a table one page shows.
const ROWS: u64 = 100;
const MOST_CELLS: usize = 2000;
/// How many columns of a table a page shows, and how many characters of a cell.
const MOST_COLUMNS: usize = 60;
const LONGEST_CELL: usize = 80;

#[derive(Template)]
#[template(path = "file.html")]
struct FilePage {
    frame: Frame,
    title: String,
    crumbs: Vec<Link>,
    url: String,
    /// Whether a browser shows the file instead of saving it.
    opens: bool,
    about: Vec<String>,
    facts: Vec<Fact>,
    is_image: bool,
    table: Option<TableView>,
    text: Option<Text>,
    markdown: Option<String>,
    archive: Option<Archive>,
    outline: Option<Outline>,
    hex: Vec<HexRow>,
    hex_note: &'static str,
    no_preview: Option<String>,
    checksums: Vec<(&'static str, String)>,
    compared: Vec<Compared>,
    last_read: Option<String>,
    proof: Option<String>,
    proof_matches: bool,
    receipt: String,
    prove: Option<String>,
    snippets: Vec<Snippet>,
    previous: Option<Link>,
    next: Option<Link>,
}

/// A part of a table, for the template.
struct TableView {
    caption: String,
    columns: Vec<HeadView>,
    /// The number of the row, and its cells with whether they are numbers.
    rows: Vec<(u64, Vec<(String, bool)>)>,
    more_columns: usize,
    previous: Option<String>,
    next: Option<String>,
    csv: String,
    json: String,
    facts_note: String,
    facts: Vec<FactsView>,
    plot: Option<PlotView>,
    plot_note: Option<String>,
    names: Vec<String>,
    plot_x: String,
    plot_y: String,
    findings: Vec<Finding>,
    agreeing: usize,
    check: Option<String>,
    sign: &'static str,
}

struct HeadView {
    name: String,
    about: String,
    unit: String,
    is_number: bool,
}

/// Facts about the values of a column.
struct FactsView {
    view: ColumnView,
    plot: Option<String>,
    values: String,
    missing: String,
    least: String,
    median: String,
    greatest: String,
}

struct PlotView {
    svg: String,
    caption: String,
    url: String,
}

/// Answers with the page about a file.
pub(crate) async fn file(
    app: &Arc<App>,
    request: &Request,
    package: &CatalogPackage,
    key: &str,
    file: &CatalogFile,
) -> Result<Response, Refused> {
    let base = request.base_url.as_str();
    let url = file_url(base, key, &file.path);
    let described = table::described(app, package, file).await?;
    let entity = described.as_ref().map(|(entity, _)| entity);
    let is_table = table::is_table(file, entity);
    let title = package_title(app, package).await?;
    let mut page = FilePage {
        frame: Frame::of(app, request),
        title: file.name().to_owned(),
        crumbs: crumbs(base, key, &title, file.path.rsplit_once('/').map_or("", |(directory, _)| directory)),
        opens: crate::file_answer::is_shown(file),
        about: paragraphs(&cut(
            entity.and_then(|entity| entity.description.as_deref()).unwrap_or_default(),
            2000,
        )),
        facts: facts(base, package, file, described.as_ref()),
        is_image: false,
        table: None,
        text: None,
        markdown: None,
        archive: None,
        outline: None,
        hex: Vec::new(),
        hex_note: "",
        no_preview: None,
        checksums: checksums(file),
        compared: Vec::new(),
        last_read: None,
        proof: None,
        proof_matches: true,
        receipt: String::new(),
        prove: None,
        snippets: snippets::of_file(&url, file, package, is_table),
        previous: None,
        next: None,
        url,
    };
    if package.repository.contains(':') && !request.client.is_loopback() {
        page.snippets.retain(|snippet| snippet.tool != "d1oci");
    }
    page.add_neighbours(app, package, base, key, file).await?;
    match table_view(app, request, file, &page.url, described.as_ref()).await {
        Some(Ok(view)) if is_table => page.table = Some(view),
        Some(Err(refused)) if is_table => page.no_preview = Some(refused.message + "."),
        // On the heap: the reading of a file is a large future, which would be on the stack of each page.
        _ => page.add_preview(Box::pin(preview::of(app, file)).await?),
    }
    page.add_proof(app, base, key, file);
    render(&page)
}

async fn package_title(app: &App, package: &CatalogPackage) -> Result<String, Refused> {
    let summary = &package.summary;
    let known = summary.title.clone().or_else(|| summary.identifier.clone());
    if !packages::is_readable(package) {
        return Ok(known.unwrap_or_else(|| summary.tag.to_string()));
    }
    let id = package.id;
    let documents = app.store.ask(move |catalog| catalog.science_metadata(id)).await?;
    let title = documents.into_iter().find_map(|stored| stored.metadata.title);
    Ok(title.or(known).unwrap_or_else(|| summary.tag.to_string()))
}

impl FilePage {
    fn add_preview(&mut self, preview: Preview) {
        match preview {
            Preview::Image => self.is_image = true,
            Preview::Text(text) => self.text = Some(text),
            Preview::Markdown(html) => self.markdown = Some(html),
            Preview::Archive(archive) => self.archive = Some(archive),
            Preview::Outline(outline) => self.outline = Some(outline),
            Preview::Hex(rows, note) => (self.hex, self.hex_note) = (rows, note),
            Preview::None(reason) => self.no_preview = Some(reason),
        }
    }

    fn add_proof(&mut self, app: &App, base: &str, key: &str, file: &CatalogFile) {
        let url = format!("{base}/prove/{key}/{}", packages::encoded_path(&file.path));
        if let Some(receipt) = proof::last_receipt(app, file.manifest.as_str(), &file.path) {
            self.proof = Some(receipt.in_words());
            self.proof_matches = receipt.matches();
            self.compared = receipt.checksums().to_vec();
        }
        self.last_read = file.sha256().and_then(|sha256| proof::last_read(app, &sha256));
        self.prove = (file.size <= proof::LARGEST_PROVEN).then(|| url.clone());
        self.receipt = url;
    }

    async fn add_neighbours(
        &mut self,
        app: &App,
        package: &CatalogPackage,
        base: &str,
        key: &str,
        file: &CatalogFile,
    ) -> Result<(), Refused> {
        // In a package that is not wholly public, a neighbour may be private.
        if !packages::is_readable(package) {
            return Ok(());
        }
        let wanted = file.clone();
        let (previous, next) = app.store.ask(move |catalog| catalog.neighbours(&wanted)).await?;
        let link = |path: String| {
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            Link::new(format!("{}?view", file_url(base, key, &path)), name)
        };
        (self.previous, self.next) = (previous.map(link), next.map(link));
        Ok(())
    }
}

fn facts(
    base: &str,
    package: &CatalogPackage,
    file: &CatalogFile,
    described: Option<&(Entity, Sign)>,
) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Size", format!("{} ({} bytes)", bytes(file.size), count(file.size))),
        Fact::new("Type", format!("{} ({})", kind(file), file.media_type)),
    ];
    facts.extend(file.format_id.as_ref().map(|format_id| Fact::new("Format", format_id)));
    if let Some(pid) = &file.pid {
        facts.push(Fact::linked("Identifier", pid, packages::object_url(base, pid)));
    }
    if let Some(sha256) = file.sha256() {
        let url = packages::hash_url(base, &sha256);
        facts.push(Fact::linked("Address by content", format!("hash://sha256/{}", hex::encode(sha256)), url));
    }
    if let Some((entity, sign)) = described {
        let name = entity.name.as_deref().unwrap_or("without a name");
        facts.push(Fact::new(
            "In the metadata",
            format!("“{}”, recognized by {}", cut(name, 120), sign.in_words()),
        ));
    }
    facts.extend(package.license.as_ref().map(|license| Fact::new("Licence", license)));
    facts
}

fn checksums(file: &CatalogFile) -> Vec<(&'static str, String)> {
    file.digests.iter().map(|(algorithm, digest)| (proof::name(algorithm), hex::encode(digest))).collect()
}

/// Returns the view of a table, or `None` if the file is not one.
async fn table_view(
    app: &App,
    request: &Request,
    file: &CatalogFile,
    url: &str,
    described: Option<&(Entity, Sign)>,
) -> Option<Result<TableView, Refused>> {
    let entity = described.map(|(entity, _)| entity);
    if !table::is_table(file, entity) {
        return None;
    }
    let first = request.query.get("rows").and_then(table::row_range).map_or(0, |rows| rows.start);
    let plotted: Vec<String> = [request.query.get("x"), request.query.get("y")]
        .into_iter()
        .flatten()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let wanted = |plotted: &[String]| Wanted {
        rows: first..first.saturating_add(ROWS),
        plot: true,
        plotted: plotted.to_vec(),
        facts: true,
        ..Wanted::default()
    };
    let mut note = None;
    let loaded = match table::load(app, file, entity, wanted(&plotted)).await {
        // A wrong name of a column spoils the plot, not the page.
        Err(refused) if !plotted.is_empty() => {
            note = Some(refused.message);
            table::load(app, file, entity, wanted(&[])).await
        }
        loaded => loaded,
    };
    Some(loaded.map(|loaded| TableView::of(&loaded.table, file, url, described, &plotted, note)))
}

impl TableView {
    fn of(
        table: &Table,
        file: &CatalogFile,
        url: &str,
        described: Option<&(Entity, Sign)>,
        plotted: &[String],
        plot_note: Option<String>,
    ) -> Self {
        let columns = table.columns.len().min(MOST_COLUMNS);
        let rows = (MOST_CELLS / columns.max(1)).max(10).min(table.rows.len());
        let last = table.first + rows as u64;
        let range = |first: u64, last: u64| format!("{}-{last}", first + 1);
        let page = |rows: String| format!("{url}?view&rows={rows}#table");
        let shown = range(table.first, last.max(table.first + 1));
        let total = match table.is_complete {
            true => count(table.count),
            false => format!("at least {}", count(table.count)),
        };
        let caption = match rows {
            0 => format!("No rows here; the table has {total}"),
            _ => format!("Rows {} to {} of {total}", count(table.first + 1), count(last)),
        };
        let findings = match described {
            Some((entity, _)) => table::findings(entity, file, table),
            None => Vec::new(),
        };
        let numbers: Vec<bool> = table.columns.iter().map(|column| column.kind() == Kind::Number).collect();
        let cells = |row: &Vec<String>| {
            let pairs = row.iter().zip(&numbers).take(columns);
            pairs.map(|(text, is_number)| (cut(text, LONGEST_CELL), *is_number)).collect()
        };
        let plot = table::as_plot(table, plotted).ok();
        let plot_url = plot_url(table, url, plotted);
        Self {
            caption,
            columns: table
                .columns
                .iter()
                .take(columns)
                .zip(&numbers)
                .map(|(column, is_number)| head(column, *is_number))
                .collect(),
            rows: table
                .rows
                .iter()
                .take(rows)
                .zip(table.first + 1..)
                .map(|(row, number)| (number, cells(row)))
                .collect(),
            more_columns: table.columns.len() - columns,
            previous: (table.first > 0)
                .then(|| page(range(table.first.saturating_sub(rows.max(10) as u64), table.first))),
            next: (last < table.count && rows > 0).then(|| page(range(last, last + rows as u64))),
            csv: format!("{url}?rows={shown}&format=csv"),
            json: format!("{url}?rows={shown}&format=json"),
            facts_note: match table.is_complete {
                true => format!("Of all {} rows.", count(table.count)),
                false => format!("Of the first {} rows: the table is longer.", count(table.count)),
            },
            facts: table.columns.iter().take(columns).map(|column| column_facts(column, url)).collect(),
            plot: plot.map(|drawn| PlotView { svg: drawn.svg, caption: drawn.caption, url: plot_url }),
            plot_note,
            names: table.columns.iter().take(200).map(|column| column.name.clone()).collect(),
            plot_x: plotted_name(table, plotted, 0),
            plot_y: plotted_name(table, plotted, 1),
            agreeing: findings.iter().filter(|finding| finding.agrees).count(),
            check: described.map(|_| format!("{url}?check")),
            sign: described.map_or("", |(_, sign)| sign.in_words()),
            findings,
        }
    }
}

fn plotted_name(table: &Table, plotted: &[String], position: usize) -> String {
    let chosen = table.plot.as_ref().and_then(|plot| {
        let column = table.columns.get(if position == 0 { plot.x } else { plot.y })?;
        Some(column.name.clone())
    });
    chosen.or_else(|| plotted.get(position).cloned()).unwrap_or_default()
}

fn plot_url(table: &Table, url: &str, plotted: &[String]) -> String {
    let names = match &table.plot {
        Some(_) => vec![plotted_name(table, plotted, 0), plotted_name(table, plotted, 1)],
        None => plotted.to_vec(),
    };
    let encode = |name: &String| {
        format!("&cols={}", percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC))
    };
    // One parameter for each name: a name may have a comma.
    let all: String = match names.as_slice() {
        [one] => [one, one].map(encode).concat(),
        several => several.iter().map(encode).collect(),
    };
    format!("{url}?format=svg{all}")
}

fn head(column: &Column, is_number: bool) -> HeadView {
    let attribute = column.attribute.as_ref();
    HeadView {
        name: cut(&column.name, 60),
        about: cut(attribute.and_then(|known| known.definition.as_deref()).unwrap_or_default(), 200),
        unit: attribute
            .and_then(|known| known.unit.clone())
            .filter(|unit| unit != "dimensionless")
            .unwrap_or_default(),
        is_number,
    }
}

fn column_facts(column: &Column, url: &str) -> FactsView {
    let kind = column.kind();
    let bins = if kind == Kind::Time { &column.moments } else { &column.distribution };
    let is_ordered = kind != Kind::Text;
    let value = |value: Option<f64>| {
        value.filter(|_| is_ordered).map(|value| value_in_words(kind, value)).unwrap_or_default()
    };
    let range = bins.range();
    let mut view = match &column.attribute {
        Some(attribute) => ColumnView::of(attribute),
        None => ColumnView {
            name: String::new(),
            about: String::new(),
            kind: match kind {
                Kind::Number => "numbers",
                Kind::Time => "times",
                Kind::Text => "text",
            }
            .to_owned(),
            unit: String::new(),
            missing: String::new(),
        },
    };
    view.name = cut(&column.name, 60);
    let has_plot = column.values > 0 && (is_ordered && range.is_some() || !column.texts.is_empty());
    let encoded = percent_encoding::utf8_percent_encode(&column.name, percent_encoding::NON_ALPHANUMERIC);
    let texts = match (kind, column.has_more_texts, column.texts.len()) {
        (Kind::Text, false, different) if column.values > 0 => format!(", {different} different"),
        _ => String::new(),
    };
    FactsView {
        view,
        plot: has_plot.then(|| format!("{url}?view&x={encoded}#plot")),
        values: format!("{}{texts}", count(column.values)),
        missing: count(column.missing),
        least: value(range.map(|range| range.0)),
        median: value(bins.quantile(0.5)),
        greatest: value(range.map(|range| range.1)),
    }
}

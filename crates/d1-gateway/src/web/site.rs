//! Documents for crawlers and programs: `robots.txt`, a site map, and the description of the interface.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use d1_catalog::{Catalog, CatalogPackage, PackageFilter};

use crate::answer::{self, Refused};
use crate::app::App;
use crate::packages::{self, page_url};
use crate::request::Request;
use crate::xml::{DECLARATION, element};

/// The most URLs of one site map (sitemaps.org, protocol 0.9).
const MOST_URLS: u64 = 50_000;
/// How many packages are read from the catalogue at once.
const PAGE: u64 = 1000;

/// Answers with the rules for crawlers: pages are welcome, archives and byte ranges are not.
pub(crate) fn robots(request: &Request) -> Response {
    let text = format!(
        "User-agent: *\nDisallow: /zip/\nDisallow: /meta4/\nDisallow: /sha256sums/\nDisallow: /urls/\nDisallow: /hash/\n\
         Disallow: /mn/\nDisallow: /cn/\nDisallow: /search\nSitemap: {}/sitemap.xml\n",
        request.base_url
    );
    answer::full(StatusCode::OK, "text/plain; charset=utf-8", text)
}

/// Answers with the site map. Above 50,000 packages it is an index of site maps.
pub(crate) async fn sitemap(app: &Arc<App>, request: &Request) -> Result<Response, Refused> {
    let number =
        request.query.get("page").and_then(|page| page.parse::<u64>().ok()).map(|page| page.min(1 << 32));
    let read = app.store.ask(move |catalog| {
        let total = page(catalog, 0, 0)?.0;
        match number {
            None if total > MOST_URLS => Ok((total, None)),
            _ => Ok((total, Some(many(catalog, number.unwrap_or(0) * MOST_URLS)?))),
        }
    });
    let (total, packages) = read.await?;
    let namespace = "http://www.sitemaps.org/schemas/sitemap/0.9";
    let text = match packages {
        None => {
            let mut text = format!("{DECLARATION}<sitemapindex xmlns=\"{namespace}\">\n");
            for number in 0..total.div_ceil(MOST_URLS) {
                let url = format!("{}/sitemap.xml?page={number}", request.base_url);
                let _ = writeln!(text, "<sitemap>{}</sitemap>", element("loc", &url));
            }
            text + "</sitemapindex>\n"
        }
        Some(packages) => {
            let mut text = format!("{DECLARATION}<urlset xmlns=\"{namespace}\">\n");
            for package in packages.iter().filter(|package| packages::is_readable(package)) {
                let changed = package.summary.created.as_ref().and_then(|created| created.get(..10));
                let changed = changed.map(|date| element("lastmod", date)).unwrap_or_default();
                let _ = writeln!(
                    text,
                    "<url>{}{changed}</url>",
                    element("loc", &page_url(&request.base_url, package))
                );
            }
            text + "</urlset>\n"
        }
    };
    Ok(super::kept(request, "application/xml", text))
}

fn page(catalog: &Catalog, start: u64, count: u64) -> d1_catalog::Result<(u64, Vec<CatalogPackage>)> {
    let mut filter = PackageFilter::default();
    filter.current_only = true;
    filter.public_only = true;
    let page = catalog.packages(&filter, start, count)?;
    Ok((page.total, page.items))
}

fn many(catalog: &Catalog, start: u64) -> d1_catalog::Result<Vec<CatalogPackage>> {
    let mut packages = Vec::new();
    while (packages.len() as u64) < MOST_URLS {
        let (total, items) = page(catalog, start + packages.len() as u64, PAGE)?;
        let is_last = items.is_empty();
        packages.extend(items);
        if is_last || start + packages.len() as u64 >= total {
            break;
        }
    }
    Ok(packages)
}

/// Answers with the description of the interface in OpenAPI 3.1.
pub(crate) fn open_api(request: &Request) -> Response {
    let text = include_str!("../../openapi.json").replace("BASE_URL", &request.base_url);
    super::kept(request, "application/json", text)
}

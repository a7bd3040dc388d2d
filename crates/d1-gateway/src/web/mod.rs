//! Pages for people, and descriptions of packages in the forms of the open web.

mod assets;
mod citation;
mod compare;
mod described;
mod entities;
mod file;
mod find;
mod home;
mod linked_data;
mod listing;
mod map;
mod package;
mod page;
mod preview;
mod proof;
mod provenance;
mod results;
mod site;
mod snippets;
mod table;

pub(crate) use assets::asset;
pub(crate) use compare::compare;
pub(crate) use file::file;
pub(crate) use home::{home, refusal, search};
pub(crate) use package::directory;
#[cfg(feature = "fuzzing")]
pub(crate) use preview::fuzz_outline;
pub(crate) use proof::{prove, receipt};
pub(crate) use provenance::provenance;
pub(crate) use results::results;
pub(crate) use site::{open_api, robots, sitemap};
pub(crate) use table::{check, slice};

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, ETAG, LINK};
use axum::response::Response;
use oci_model::Digest;

use self::described::Described;
use crate::answer::{self, Refused, set, set_disposition};
use crate::app::App;
use crate::file_answer::REVALIDATE;
use crate::packages;
use crate::representation::{Selected, Validators, select};
use crate::request::{Request, path_decoded};

/// A form in which a package is described.
pub(crate) struct Form {
    /// The name in the URL.
    pub(crate) name: &'static str,
    /// The name for people.
    pub(crate) label: &'static str,
    pub(crate) media_type: &'static str,
    /// The profile that the form follows, if its media type is generic.
    pub(crate) profile: Option<&'static str>,
}

/// The forms, in the order of preference for content negotiation.
pub(crate) const FORMS: [Form; 8] = [
    Form {
        name: "schema.jsonld",
        label: "schema.org (JSON-LD)",
        media_type: "application/ld+json",
        profile: Some("https://schema.org/Dataset"),
    },
    Form { name: "citation.bib", label: "BibTeX", media_type: "application/x-bibtex", profile: None },
    Form {
        name: "citation.ris",
        label: "RIS",
        media_type: "application/x-research-info-systems",
        profile: None,
    },
    Form {
        name: "citation.json",
        label: "CSL JSON",
        media_type: "application/vnd.citationstyles.csl+json",
        profile: None,
    },
    Form {
        name: "datacite.json",
        label: "DataCite JSON",
        media_type: "application/vnd.datacite.datacite+json",
        profile: None,
    },
    Form {
        name: "croissant.json",
        label: "Croissant",
        media_type: "application/ld+json",
        profile: Some("http://mlcommons.org/croissant/1.1"),
    },
    Form {
        name: "ro-crate-metadata.json",
        label: "RO-Crate",
        media_type: "application/ld+json",
        profile: Some("https://w3id.org/ro/crate/1.2"),
    },
    Form { name: "linkset.json", label: "Link set", media_type: "application/linkset+json", profile: None },
];

/// Answers with a description of a package.
pub(crate) async fn description(
    app: &Arc<App>,
    request: &Request,
    raw_key: &str,
    name: &str,
) -> Result<Response, Refused> {
    let key = path_decoded(raw_key).ok_or_else(|| Refused::invalid("expected UTF-8 in the path"))?;
    let form = FORMS.iter().find(|form| form.name == name);
    let form = form.ok_or_else(|| Refused::not_found("packages have no such description"))?;
    let package = packages::package(app, &key).await?;
    if !packages::is_readable(&package) {
        return Err(packages::not_public());
    }
    let described = Described::of(app, &package, &request.base_url, described::MOST_FILES).await?;
    let text = match form.name {
        "schema.jsonld" => linked_data::dataset(&described, usize::MAX).to_string(),
        "croissant.json" => linked_data::croissant(&described).to_string(),
        "ro-crate-metadata.json" => linked_data::ro_crate(&described).to_string(),
        "linkset.json" => linked_data::link_set(&described).to_string(),
        "citation.bib" => citation::bibtex(&described),
        "citation.ris" => citation::ris(&described),
        "citation.json" => citation::csl(&described).to_string(),
        _ => citation::datacite(&described).to_string(),
    };
    let content_type = match form.profile {
        Some(profile) => format!("{}; profile=\"{profile}\"", form.media_type),
        None => form.media_type.to_owned(),
    };
    let mut response = kept(request, &content_type, text);
    if response.status() == StatusCode::OK {
        set_disposition(response.headers_mut(), "inline", form.name);
        let page = &described.page;
        let describes = format!("<{page}>; rel=\"describes\", <{page}>; rel=\"cite-as\"");
        set(response.headers_mut(), LINK, &describes);
    }
    Ok(response)
}

/// Answers with a text that has a validator: its own digest.
pub(crate) fn kept(request: &Request, content_type: &str, text: String) -> Response {
    let digest = Digest::sha256_of(text.as_bytes());
    let validators = Validators { etag: format!("\"{digest}\""), modified: None, size: None };
    let mut response = answer::full(StatusCode::OK, content_type, text);
    set(response.headers_mut(), ETAG, &validators.etag);
    set(response.headers_mut(), CACHE_CONTROL, REVALIDATE);
    match select(request, &validators) {
        Selected::NotModified => answer::without_body(StatusCode::NOT_MODIFIED, response.headers()),
        Selected::PreconditionFailed => {
            answer::without_body(StatusCode::PRECONDITION_FAILED, response.headers())
        }
        _ => response,
    }
}

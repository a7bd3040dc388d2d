//! The calls of a small Coordinating Node, for clients that ask one before they read.

use axum::http::header::LOCATION;
use axum::http::{Method, StatusCode};
use d1_model::ObjectFormatList;

use super::{Answered, Call, Codes, document, documents, member, objects};
use crate::answer::{Refused, set};

const RESOLVE: Codes = Codes {
    not_found: "4140",
    not_authorized: "4120",
    invalid: "4150",
    failure: "4150",
    not_implemented: "4131",
    resources: "4150",
};
const NODES: Codes = Codes { failure: "4801", not_implemented: "4800", ..RESOLVE };
const FORMATS: Codes = Codes { not_found: "4848", failure: "4845", not_implemented: "4840", ..RESOLVE };

/// Answers a call, and returns the numbers of its failures.
pub(super) async fn answer(call: &Call<'_>) -> (Answered, Codes) {
    match call.segments.as_slice() {
        // The base URL alone: the node itself.
        [] => (Ok(document(documents::node(call))), NODES),
        ["node"] | ["node", ""] => (Ok(document(documents::node_list(call))), NODES),
        ["node", ..] => (Ok(document(documents::node(call))), NODES),
        ["resolve", ..] => (resolve(call).await, RESOLVE),
        ["formats"] | ["formats", ""] => {
            let formats = ObjectFormatList::builtin().formats();
            (Ok(document(documents::format_list(call.version, formats))), FORMATS)
        }
        ["formats", ..] => (format(call), FORMATS),
        ["checksum"] | ["checksum", ""] => {
            (Ok(document(documents::checksum_algorithms(&objects::CHECKSUM_NAMES))), NODES)
        }
        _ => member::answer(call).await,
    }
}

async fn resolve(call: &Call<'_>) -> Answered {
    let identifier = call.rest(1)?;
    let object = call.app.store.object(&identifier).await?;
    let (list, url) = documents::location_list(call, &object.pid);
    let mut response = document(list);
    // The codes differ, as at the Coordinating Nodes of DataONE.
    *response.status_mut() = match call.request.method {
        Method::HEAD => StatusCode::TEMPORARY_REDIRECT,
        _ => StatusCode::SEE_OTHER,
    };
    set(response.headers_mut(), LOCATION, &url);
    Ok(response)
}

fn format(call: &Call<'_>) -> Answered {
    let wanted = call.rest(1)?;
    let format = ObjectFormatList::builtin().get(&wanted);
    let format = format.ok_or_else(|| Refused::not_found("the list has no such object format"))?;
    Ok(document(documents::object_format(call.version, format)))
}

//! The calls of a Member Node.

use axum::http::{Method, StatusCode};

use super::{Answered, Call, Codes, document, documents, objects, solr};
use crate::answer::{self, Kind, Refused};

const CORE: Codes = Codes {
    not_found: "0",
    not_authorized: "1460",
    invalid: "1480",
    failure: "2162",
    not_implemented: "2160",
    resources: "2045",
};
const PING: Codes = Codes { failure: "2042", not_implemented: "2041", ..CORE };
const LOG: Codes = Codes { failure: "1490", not_implemented: "1461", ..CORE };
const FAILED: Codes = Codes { not_authorized: "2162", invalid: "2163", failure: "2161", ..CORE };
const CHANGED: Codes =
    Codes { not_authorized: "1331", invalid: "1334", failure: "1333", not_implemented: "1330", ..CORE };
const VIEW: Codes = Codes { not_found: "2835", not_implemented: "2834", failure: "2831", ..CORE };
const WRITE: Codes = Codes { not_authorized: "1200", not_implemented: "1201", ..CORE };

/// Answers a call, and returns the numbers of its failures.
pub(super) async fn answer(call: &Call<'_>) -> (Answered, Codes) {
    let method = &call.request.method;
    let is_read = *method == Method::GET || *method == Method::HEAD;
    let segments = call.segments.as_slice();
    match segments {
        [] | ["node"] | ["node", ""] if is_read => (Ok(document(documents::node(call))), CORE),
        ["monitor", "ping"] | ["monitor", "ping", ""] if is_read => (ping(call), PING),
        ["log"] | ["log", ""] if is_read => (Ok(document(documents::empty_log(call.version))), LOG),
        ["query", ..] => (solr::answer(call).await, solr::codes(call.is_coordinating)),
        ["error"] | ["error", ""] if *method == Method::POST => (no_certificate(), FAILED),
        ["dirtySystemMetadata"] | ["dirtySystemMetadata", ""] if *method == Method::POST => {
            (no_certificate(), CHANGED)
        }
        ["views" | "view", ..] if is_read => {
            (Err(Refused::new(Kind::NotImplemented, "this node has no views")), VIEW)
        }
        _ if is_read => objects::answer(call).await,
        _ => (Err(Refused::new(Kind::NotAllowed, "this node is for reading only")), WRITE),
    }
}

/// Answers that the node is up, or that its repositories do not answer.
fn ping(call: &Call<'_>) -> Answered {
    if !call.app.is_current() {
        return Err(Refused::new(Kind::ServiceFailure, "not all repositories of this node answer"));
    }
    Ok(answer::full(StatusCode::OK, "text/plain; charset=utf-8", ""))
}

fn no_certificate() -> Answered {
    Err(Refused::new(Kind::NotAuthorized, "only a Coordinating Node with a client certificate may call this"))
}

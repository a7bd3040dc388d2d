//! The effects of faults on a request and its answer.

use std::sync::atomic::Ordering;

use scripted_http::axum::http::header::{HeaderName, LINK, RANGE};
use scripted_http::axum::http::{HeaderValue, StatusCode};
use scripted_http::axum::response::Response;
use scripted_http::{Pieces, body, with_header};

use super::auth;
use super::exchange::Exchange;
use super::fault::Action;

/// Does what happens before a request is served, and returns the answer if it is not to be served at all.
pub(super) fn before(exchange: &Exchange<'_>, actions: &[Action]) -> Option<Response> {
    let store = &exchange.app.store;
    let mut answer = None;
    for action in actions {
        match action {
            Action::Answer(given) => answer = Some(given.response()),
            Action::Unauthorized => {
                let refused = auth::challenge(exchange.app, exchange.target, Some("invalid_token"));
                answer = Some(refused.response());
            }
            Action::ForgetUpload => {
                store.end_upload(&exchange.target.name);
            }
            Action::CollectFirst => store.collect(false),
            Action::StoreFirst { repository, at, manifest } => store.store_manifest(repository, at, manifest),
            _ => {}
        }
    }
    answer
}

/// Changes the body of a request.
pub(super) fn to_request(mut pieces: Pieces, actions: &[Action]) -> Pieces {
    for action in actions {
        pieces = match action {
            Action::Drop { after } => body::broken_after(pieces, *after),
            Action::StallRequest { after } => body::stalled_after(pieces, *after),
            Action::AcceptOnly { bytes } => body::kept_to(pieces, *bytes),
            Action::CorruptRequest { at } => body::flipped(pieces, 0, Some(*at)),
            _ => pieces,
        };
    }
    pieces
}

/// Changes an answer, or takes it away.
pub(super) async fn after(
    exchange: &Exchange<'_>,
    mut response: Response,
    actions: &[Action],
) -> Option<Response> {
    for action in actions {
        match action {
            Action::AnswerAfterwards(given) => response = given.response(),
            Action::Delay(time) => tokio::time::sleep(*time).await,
            Action::Hold => {
                if let Ok(permit) = exchange.app.released.acquire().await {
                    permit.forget();
                }
            }
            Action::Drop { .. } | Action::DropAfterwards => return None,
            Action::SetHeader(name, value) => {
                response = with_header(response, HeaderName::from_static(name), value);
            }
            Action::RemoveHeader(name) => {
                response.headers_mut().remove(*name);
            }
            Action::ShiftRangeHeader(by) => shift_range(&mut response, *by),
            Action::EndlessPages => response = with_header(response, LINK, &next_page(exchange)),
            Action::CutAnswer { .. }
            | Action::StallAnswer { .. }
            | Action::ShortenAnswer { .. }
            | Action::CorruptAnswer { .. } => response = spoiled(response, action),
            _ => {}
        }
    }
    Some(response)
}

fn shift_range(response: &mut Response, by: i64) {
    let range = response.headers().get(RANGE).and_then(|value| value.to_str().ok());
    let Some((first, last)) = range.and_then(|range| range.rsplit_once('-')) else { return };
    let last = last.parse::<i64>().unwrap_or(-1).saturating_add(by);
    if let Ok(value) = HeaderValue::from_str(&format!("{first}-{last}")) {
        response.headers_mut().insert(RANGE, value);
    }
}

/// A link to a page that no listing has; every page has another, so that who looks for repetition finds none.
fn next_page(exchange: &Exchange<'_>) -> String {
    let page = exchange.app.pages.fetch_add(1, Ordering::Relaxed);
    format!("<{}?page={page}>; rel=\"next\"", exchange.parts.uri.path())
}

fn spoiled(response: Response, action: &Action) -> Response {
    // An answer without a body has no bytes to spoil.
    if response.status() == StatusCode::NO_CONTENT {
        return response;
    }
    match *action {
        Action::CutAnswer { after } => body::stream(response, |pieces| body::broken_after(pieces, after)),
        Action::StallAnswer { after } => body::stream(response, |pieces| body::stalled_after(pieces, after)),
        Action::CorruptAnswer { at } => body::stream(response, |pieces| body::flipped(pieces, 0, Some(at))),
        Action::ShortenAnswer { to } => body::shortened(response, to),
        _ => response,
    }
}

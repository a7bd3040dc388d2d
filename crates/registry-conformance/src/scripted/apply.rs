//! What faults do to a request and to its answer.

use std::io;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, HeaderName, LINK, RANGE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures::StreamExt;

use super::fault::Action;
use super::serve::Exchange;
use super::spool::Pieces;
use super::{auth, body, reply};
use crate::spoil::{cut, flip};

/// What routes themselves do differently.
#[derive(Debug, Default)]
pub(super) struct Lies {
    pub(super) pretends: bool,
    pub(super) accepts_less: bool,
    pub(super) ignores_range: bool,
    pub(super) shifts_content: u64,
    pub(super) sends_elsewhere: bool,
    pub(super) gives_expired_links: bool,
}

impl Lies {
    pub(super) fn of(actions: &[Action]) -> Self {
        let mut lies = Self::default();
        for action in actions {
            match action {
                Action::Pretend => lies.pretends = true,
                Action::AcceptOnly { .. } => lies.accepts_less = true,
                Action::IgnoreRange => lies.ignores_range = true,
                Action::ShiftContent(bytes) => lies.shifts_content = *bytes,
                Action::ForeignLocation => lies.sends_elsewhere = true,
                Action::ExpiredLink => lies.gives_expired_links = true,
                _ => {}
            }
        }
        lies
    }
}

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
            Action::CollectFirst => store.collect(),
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
            Action::CorruptRequest { at } => flip(pieces, 0, *at),
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
                response = reply::with(response, HeaderName::from_static(name), value);
            }
            Action::RemoveHeader(name) => {
                response.headers_mut().remove(*name);
            }
            Action::ShiftRangeHeader(by) => shift_range(&mut response, *by),
            Action::EndlessPages => response = reply::with(response, LINK, &next_page(exchange)),
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
    let page = exchange.app.pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("<{}?page={page}>; rel=\"next\"", exchange.parts.uri.path())
}

/// Streams a body while its length is still announced.
pub(super) fn stream(response: Response, change: impl FnOnce(Pieces) -> Pieces) -> Response {
    let (mut parts, body) = response.into_parts();
    let exact = axum::body::HttpBody::size_hint(&body).exact();
    if let (None, Some(length)) = (parts.headers.get(CONTENT_LENGTH), exact) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::from_stream(change(body::pieces(body))))
}

fn spoiled(response: Response, action: &Action) -> Response {
    // An answer without a body has no bytes that could be spoiled.
    if response.status() == StatusCode::NO_CONTENT {
        return response;
    }
    match *action {
        Action::CutAnswer { after } => stream(response, |pieces| body::broken_after(pieces, after)),
        Action::StallAnswer { after } => stream(response, |pieces| body::stalled_after(pieces, after)),
        Action::CorruptAnswer { at } => stream(response, |pieces| flip(pieces, 0, at)),
        Action::ShortenAnswer { to } => {
            let mut response = stream(response, |pieces| cut::<io::Error>(pieces, to, None).boxed());
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(to));
            response
        }
        _ => response,
    }
}

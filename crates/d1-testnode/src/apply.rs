//! What faults do to a request and to its answer.

use axum::body::{Body, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_LENGTH;
use axum::response::Response;

use crate::answer::Answer;
use crate::body;
use crate::content::Pieces;
use crate::fault::Action;

/// What calls themselves do differently.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lies {
    pub(crate) ignores_range: bool,
    pub(crate) shifts_range: u64,
    pub(crate) shortest_range: Option<u64>,
    pub(crate) has_wrong_checksum: bool,
    pub(crate) has_endless_pages: bool,
    pub(crate) repeats_pages: bool,
    pub(crate) has_empty_pages: bool,
}

impl Lies {
    pub(crate) fn of(actions: &[Action]) -> Self {
        let mut lies = Self::default();
        for action in actions {
            match action {
                Action::IgnoreRange => lies.ignores_range = true,
                Action::ShiftRange(bytes) => lies.shifts_range = *bytes,
                Action::ShortRange(bytes) => lies.shortest_range = Some(*bytes),
                Action::WrongChecksum => lies.has_wrong_checksum = true,
                Action::EndlessPages => lies.has_endless_pages = true,
                Action::RepeatPages => lies.repeats_pages = true,
                Action::EmptyPages => lies.has_empty_pages = true,
                _ => {}
            }
        }
        lies
    }
}

/// Returns the answer of a request that is not to be served at all.
pub(crate) fn instead(actions: &[Action]) -> Option<Response> {
    actions.iter().rev().find_map(|action| match action {
        Action::Answer(answer) => Some(answer.response()),
        Action::Redirect { status, to } => {
            let redirect = Answer::text(*status, "text/plain", "elsewhere");
            Some(redirect.with_header("location", to).response())
        }
        _ => None,
    })
}

/// Changes an answer, or takes it away.
pub(crate) async fn after(mut response: Response, actions: &[Action]) -> Option<Response> {
    for action in actions {
        response = match *action {
            Action::Drop => return None,
            Action::Delay(time) => {
                tokio::time::sleep(time).await;
                response
            }
            Action::CutAnswer { after } => stream(response, |pieces| body::broken_after(pieces, after)),
            Action::StallAnswer { after } => stream(response, |pieces| body::stalled_after(pieces, after)),
            Action::SlowAnswer { bytes, pause } => {
                stream(response, |pieces| body::slowed(pieces, bytes, pause))
            }
            Action::CorruptAnswer { at } => stream(response, |pieces| body::changed(pieces, Some(at))),
            Action::OtherContent if response.status().is_success() => {
                stream(response, |pieces| body::changed(pieces, None))
            }
            Action::ShortenAnswer { to } => {
                let mut response = stream(response, |pieces| body::cut(pieces, to));
                response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(to));
                response
            }
            Action::EndAnswer { after } => lengthless(stream(response, |pieces| body::cut(pieces, after))),
            Action::WithoutLength => lengthless(stream(response, |pieces| pieces)),
            _ => response,
        };
    }
    Some(response)
}

/// Streams a body while its length is still announced.
pub(crate) fn stream(response: Response, change: impl FnOnce(Pieces) -> Pieces) -> Response {
    let (mut parts, body) = response.into_parts();
    let exact = HttpBody::size_hint(&body).exact();
    if let (None, Some(length)) = (parts.headers.get(CONTENT_LENGTH), exact) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::from_stream(change(body::pieces(body))))
}

fn lengthless(mut response: Response) -> Response {
    response.headers_mut().remove(CONTENT_LENGTH);
    response
}

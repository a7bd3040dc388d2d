//! One request from its arrival to its answer: log, faults, version, call.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Method, Request};
use axum::response::Response;
use d1_model::Identifier;
use futures::{StreamExt, TryStreamExt};

use crate::answer::Answer;
use crate::answers;
use crate::app::App;
use crate::apply::{self, Lies};
use crate::call::{Call, Target, query_pairs};
use crate::log::Entry;
use crate::object::StoredObject;
use crate::refused::{Answered, Refused};

/// A request that is being served.
pub(crate) struct Exchange<'a> {
    pub(crate) app: &'a App,
    pub(crate) target: &'a Target,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) parts: &'a Parts,
    pub(crate) lies: Lies,
}

impl Exchange<'_> {
    /// Returns a header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// Returns a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Tells whether whoever asks may read an object.
    pub(crate) fn may_read(&self, object: &StoredObject) -> bool {
        let token = self.app.behaviour.token.as_ref();
        let shown = self.header(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        object.meta.is_public() || token.is_some_and(|token| shown == Some(token.as_str()))
    }

    /// Returns the object that the request is about.
    ///
    /// # Errors
    ///
    /// Exceptions with these detail codes: for an object that is not there, and for one that may not be read.
    pub(crate) fn object(
        &self,
        not_found: &'static str,
        not_authorized: &'static str,
    ) -> Result<Arc<StoredObject>, Refused> {
        let identifier = self.identifier()?;
        let found = self.app.catalog().find(identifier).cloned();
        let object = found.ok_or_else(|| {
            let description = format!("No object has the identifier {identifier}");
            Refused::new("NotFound", 404, not_found, description).of(identifier)
        })?;
        if self.may_read(&object) {
            return Ok(object);
        }
        let description = format!("{identifier} is not public");
        Err(Refused::new("NotAuthorized", 401, not_authorized, description).of(identifier))
    }

    pub(crate) fn identifier(&self) -> Result<&Identifier, Refused> {
        let none = || Refused::new("InvalidRequest", 400, "1000", "the path has no identifier");
        self.target.identifier.as_ref().ok_or_else(none)
    }
}

/// Serves a request; without an answer the connection is to be closed.
pub(crate) async fn serve(app: Arc<App>, request: Request<Body>) -> Option<Response> {
    let _waiting = app.crowd.enter();
    let (parts, _) = request.into_parts();
    let target = Target::of(&parts.method, parts.uri.path());
    let entry = app.log.begin(&target, &parts.method, &parts.uri, &parts.headers);
    let actions = app.script.next(&target);
    let response = match apply::instead(&actions) {
        Some(response) => response,
        None => {
            let query = query_pairs(parts.uri.query().unwrap_or_default());
            let lies = Lies::of(&actions);
            let exchange = Exchange { app: &app, target: &target, query, parts: &parts, lies };
            let dialect = app.behaviour.dialect;
            answer(&exchange).unwrap_or_else(|refused| refused.response(&parts.method, dialect))
        }
    };
    let mut response = apply::after(response, &actions).await?;
    entry.answered(response.status().as_u16());
    app.header_case.spell(&mut response);
    if parts.method == Method::HEAD {
        // The headers are those of the answer to `GET`, as each call has set them.
        *response.body_mut() = Body::empty();
        return Some(response);
    }
    Some(counted(response, entry))
}

fn answer(exchange: &Exchange<'_>) -> Answered {
    let Exchange { app, target, .. } = exchange;
    if !app.behaviour.versions.has(target.version) {
        // What the container of a node says where there is no node.
        return Ok(Answer::page(404, "404 Not Found").response());
    }
    match target.call {
        Call::Ping => Ok(Answer::text(200, "text/plain", "").response()),
        Call::Node => Ok(answers::node(exchange)),
        Call::Get => answers::object::get(exchange),
        Call::Describe => answers::object::describe(exchange),
        Call::Meta => answers::meta(exchange),
        Call::Checksum => answers::checksum(exchange),
        Call::List => answers::list::answer(exchange),
        Call::Resolve => answers::resolve(exchange),
        Call::Formats => answers::formats(exchange),
        Call::Search => answers::search::answer(exchange),
        Call::Unknown => Err(Refused::new("NotImplemented", 501, "0000", "there is nothing here")),
    }
}

fn counted(response: Response, entry: Arc<Entry>) -> Response {
    if axum::body::HttpBody::is_end_stream(response.body()) {
        return response;
    }
    let has_length = axum::body::HttpBody::size_hint(response.body()).exact().is_some();
    let count = |pieces: crate::content::Pieces| {
        pieces.inspect_ok(move |piece| entry.count_sent(piece.len())).boxed()
    };
    if has_length {
        return apply::stream(response, count);
    }
    let (parts, body) = response.into_parts();
    Response::from_parts(parts, Body::from_stream(count(crate::body::pieces(body))))
}

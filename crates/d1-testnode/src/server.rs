//! The node: its socket, and one request from its arrival to its answer.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use d1_model::Identifier;
use header_case::HeaderCase;
use scripted_http::axum::body::{Body, HttpBody};
use scripted_http::axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE};
use scripted_http::axum::http::{Method, Request as HttpRequest};
use scripted_http::axum::response::Response;
use scripted_http::{Listener, Log, Query, Script, Server, body, with_header};

use crate::answer::{Answer, Answered, Refused};
use crate::answers;
use crate::behaviour::{Behaviour, Dialect};
use crate::call::{Call, Role, Target};
use crate::catalog::Catalog;
use crate::exchange::{App, Crowd, Exchange, Request, RequestFacts};
use crate::fault::{self, Fault, Lies};

/// The names as nodes spell them.
const NAMES: [&str; 20] = [
    "Accept-Ranges",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "DataONE-Checksum",
    "DataONE-Exception-Description",
    "DataONE-Exception-DetailCode",
    "DataONE-Exception-Identifier",
    "DataONE-Exception-Name",
    "DataONE-Exception-PID",
    "DataONE-FormatId",
    "DataONE-GMN",
    "DataONE-ObjectFormat",
    "DataONE-ObsoletedBy",
    "DataONE-Obsoletes",
    "DataONE-SerialVersion",
    "DataONE-SeriesId",
    "Date",
    "Last-Modified",
    "Location",
];

/// The configuration of a node. The default is an empty node without faults.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The objects.
    pub catalog: Catalog,
    /// How the node behaves.
    pub behaviour: Behaviour,
    /// The faults.
    pub faults: Vec<Fault>,
    /// The port; 0 is any that is free.
    pub port: u16,
}

/// A node on the loopback interface that does what a script says, and ends when the value is dropped.
#[derive(Debug)]
pub struct ScriptedNode {
    app: Arc<App>,
    _server: Server,
}

impl ScriptedNode {
    /// Starts a node on `127.0.0.1`.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = Listener::bind(config.port).await?;
        let app = Arc::new(App {
            host: listener.address().to_string(),
            behaviour: config.behaviour,
            catalog: RwLock::new(config.catalog),
            script: Script::new(config.faults.into_iter().map(Fault::into_parts)),
            log: Log::default(),
            header_case: HeaderCase::learn(&NAMES).await?,
            crowd: Crowd::default(),
        });
        let shared = app.clone();
        let server = listener.serve(move |request| serve(shared.clone(), request));
        Ok(Self { app, _server: server })
    }

    /// Starts a node with these objects that behaves well.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn serve(catalog: Catalog) -> io::Result<Self> {
        Self::start(Config { catalog, ..Config::default() }).await
    }

    /// Returns the base URL of the Member Node.
    #[must_use]
    pub fn member_url(&self) -> String {
        self.app.base_url(Role::Member)
    }

    /// Returns the base URL of the Coordinating Node.
    #[must_use]
    pub fn coordinating_url(&self) -> String {
        self.app.base_url(Role::Coordinating)
    }

    /// Looks at the objects.
    pub fn look<T>(&self, look: impl FnOnce(&Catalog) -> T) -> T {
        look(&self.app.catalog())
    }

    /// Changes the objects.
    pub fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> T) -> T {
        change(&mut self.app.catalog.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a fault, whose requests are counted from now on.
    pub fn add_fault(&self, fault: Fault) {
        let (about, when, action) = fault.into_parts();
        self.app.script.add(about, when, action);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.app.script.clear();
    }

    /// Returns all requests so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.app.log.requests()
    }

    /// Returns how many requests of a call came so far, refused ones included.
    #[must_use]
    pub fn count(&self, call: Call) -> usize {
        self.requests().iter().filter(|request| request.call == call).count()
    }

    /// Returns how many requests of a call came so far for one object.
    #[must_use]
    pub fn count_of(&self, call: Call, identifier: &Identifier) -> usize {
        let requests = self.requests();
        let is_it =
            |request: &&Request| request.call == call && request.identifier.as_ref() == Some(identifier);
        requests.iter().filter(is_it).count()
    }

    /// Returns how many bytes of bodies were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.requests().iter().map(|request| request.sent).sum()
    }

    /// Returns how many requests waited for their answers at the same time at most, bodies not counted.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.app.crowd.most()
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.app.log.clear();
    }
}

/// Serves a request; without an answer the connection is to be closed.
async fn serve(app: Arc<App>, request: HttpRequest<Body>) -> Option<Response> {
    let _waiting = app.crowd.enter();
    let (parts, _) = request.into_parts();
    let target = Target::of(&parts.method, parts.uri.path());
    let facts = RequestFacts { role: target.role, call: target.call, identifier: target.identifier.clone() };
    let entry = app.log.begin(facts, &parts);
    let actions = app.script.next(|about| about.includes(&target));
    let response = match fault::instead(&actions) {
        Some(response) => response,
        None => {
            let query = Query::of_form(parts.uri.query().unwrap_or_default());
            let lies = Lies::of(&actions);
            let exchange = Exchange { app: &app, target: &target, query, parts: &parts, lies };
            let dialect = app.behaviour.dialect;
            answer(&exchange).unwrap_or_else(|refused| refused.response(&parts.method, dialect))
        }
    };
    let mut response = fault::after(in_dialect(response, app.behaviour.dialect), &actions).await?;
    entry.answered(response.status().as_u16());
    app.header_case.spell(response.extensions_mut());
    if parts.method == Method::HEAD {
        // The headers are those of the answer to `GET`, as each call has set them.
        *response.body_mut() = Body::empty();
        return Some(response);
    }
    if response.body().is_end_stream() {
        return Some(response);
    }
    let has_length =
        response.headers().contains_key(CONTENT_LENGTH) || response.body().size_hint().exact().is_some();
    let counted =
        body::stream(response, |pieces| body::counted(pieces, move |bytes| entry.count_sent(bytes)));
    Some(if has_length { counted } else { body::without_length(counted) })
}

/// Gives an answer the habits of the node's HTTP server.
fn in_dialect(mut response: Response, dialect: Dialect) -> Response {
    if dialect == Dialect::Metacat {
        return response;
    }
    let now = httpdate::fmt_http_date(SystemTime::now());
    response = with_header(response, DATE, &now);
    let is_document = response.headers().get(CONTENT_TYPE).is_some_and(|value| value == "text/xml");
    let is_content = response.headers().contains_key(CONTENT_LENGTH);
    if is_document && !is_content { body::without_length(response) } else { response }
}

fn answer(exchange: &Exchange<'_>) -> Answered {
    let Exchange { app, target, .. } = exchange;
    if !app.behaviour.versions.has(target.version) {
        // A servlet container answers like this where there is no node.
        return Ok(Answer::page(404, "404 Not Found").response());
    }
    if target.call == Call::Unknown && app.behaviour.dialect == Dialect::Gmn {
        return Err(Refused::new("NotFound", 404, "0", "Invalid API endpoint"));
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

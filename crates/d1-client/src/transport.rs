//! One HTTP request and its answer, under time limits.

use std::time::Duration;

use http_transfer::{HttpClient, HttpSettings, Incoming, Url, without_query};
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{ErrorKind, Result};
use crate::options::ClientOptions;

/// Sends requests.
#[derive(Debug)]
pub(crate) struct Transport(HttpClient);

/// A request as it goes out.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// How long to wait for the beginning of the answer.
    pub(crate) answer: Duration,
    /// Whether the whole URL may stand in a log.
    pub(crate) is_own: bool,
}

impl Transport {
    pub(crate) fn new(options: &ClientOptions, context: &Context) -> Result<Self> {
        let settings = HttpSettings {
            user_agent: &options.user_agent,
            extra_authorities: &options.extra_authorities,
            client_certificate: None,
            proxies: &options.proxies,
            connect: options.times.connect,
            silence: options.times.silence,
        };
        let http = HttpClient::new(&settings);
        http.map(Self).map_err(|error| context.error(ErrorKind::Settings).because(error.to_string()))
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub(crate) async fn send(&self, outgoing: Outgoing, context: &Context) -> Result<Incoming> {
        let Outgoing { method, url, headers, answer, is_own } = outgoing;
        let started = Instant::now();
        let shown = redacted(&url, is_own);
        let request = self.0.request(method.clone(), url).headers(headers);
        let incoming = self.0.send(request, answer).await.map_err(|error| context.transfer(error));
        let milliseconds = started.elapsed().as_millis();
        match &incoming {
            Ok(Incoming { status, .. }) => {
                tracing::debug!(%method, url = shown, status = status.as_u16(), milliseconds, "request");
            }
            Err(error) => tracing::debug!(%method, url = shown, %error, milliseconds, "request failed"),
        }
        incoming
    }
}

/// Returns the URL for logs: without user and password, and without a query that another server wrote.
pub(crate) fn redacted(url: &Url, with_query: bool) -> String {
    let place = without_query(url);
    match url.query() {
        Some(query) if with_query => format!("{place}?{query}"),
        Some(_) => format!("{place}?…"),
        None => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_show_no_secret() {
        let url = Url::parse("https://u:p@mn.example/u/1?sig=x").unwrap();
        assert_eq!(redacted(&url, false), "https://mn.example/u/1?…");
        assert_eq!(redacted(&url, true), "https://mn.example/u/1?sig=x");
    }
}

//! Connections: the only file that knows how they are made.

use std::time::Duration;

use reqwest::{Method, NoProxy, Proxy, RequestBuilder, Url};

use crate::error::{SettingsError, TransferError};
use crate::incoming::Incoming;
use crate::settings::{HttpSettings, Proxies};
use crate::tls;

/// How often the operating system asks whether an idle connection still stands.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Sends requests under time limits. It follows no redirect and tries nothing again: the caller knows where credentials
/// may go. Clones share connections.
#[derive(Clone, Debug)]
pub struct HttpClient {
    http: reqwest::Client,
    connect: Duration,
    silence: Duration,
}

impl HttpClient {
    /// Prepares to send requests; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If a certificate, a key or a proxy cannot be used.
    pub fn new(settings: &HttpSettings<'_>) -> Result<Self, SettingsError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(settings)?)
            .user_agent(settings.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(settings.connect)
            .tcp_keepalive(KEEP_ALIVE)
            .http2_adaptive_window(true)
            .referer(false);
        // Else the operating system is told another limit, after which it gives up a connection whose other side confirms
        // nothing, or has no room for more: what is set here would be too late, or not counted at all.
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        {
            builder = builder.tcp_user_timeout(settings.connect.saturating_add(settings.silence));
        }
        for proxy in proxies(settings.proxies).map_err(|error| SettingsError::new("a proxy's URL", error))? {
            builder = builder.proxy(proxy);
        }
        let http = builder.build().map_err(|error| SettingsError::new("the HTTP client", error))?;
        Ok(Self { http, connect: settings.connect, silence: settings.silence })
    }

    /// Begins a request; what it carries is added to what is returned.
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request and waits for the head of the answer: for the time that a connection may take, and `limit`
    /// beside it.
    ///
    /// # Errors
    ///
    /// If there is none, or none in time.
    pub async fn send(&self, request: RequestBuilder, limit: Duration) -> Result<Incoming, TransferError> {
        // The limit for connecting is its own, and comes first.
        let limit = self.connect.saturating_add(limit);
        match tokio::time::timeout(limit, self.send_unwatched(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(TransferError::Silence { what: "does not answer", limit }),
        }
    }

    /// As [`send`](Self::send), but without a limit after the connection stands, for callers who watch the content on
    /// its way out themselves.
    ///
    /// # Errors
    ///
    /// If there is no answer.
    pub async fn send_unwatched(&self, request: RequestBuilder) -> Result<Incoming, TransferError> {
        Ok(Incoming::new(request.send().await?, self.silence))
    }
}

fn proxies(settings: &Proxies) -> reqwest::Result<Vec<Proxy>> {
    let except = settings.except.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    if let Some(url) = &settings.http {
        proxies.push(Proxy::http(url.reveal())?.no_proxy(except.clone()));
    }
    if let Some(url) = &settings.https {
        proxies.push(Proxy::https(url.reveal())?.no_proxy(except));
    }
    Ok(proxies)
}

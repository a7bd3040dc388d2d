//! One request: with authorization, within the budget, and after redirects.

use std::sync::Arc;

use http_transfer::{Incoming, resolve, same_origin};
use registry_backend::Result;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION, WARNING, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode};

use super::exchange::LARGEST_ERROR;
use super::{Call, Inner, Payload, Received, Registry};
use crate::auth::Authorization;
use crate::body::Meter;
use crate::budget::Load;
use crate::context::Context;
use crate::transport::{Outgoing, OutgoingBody};

/// The most redirects that are followed for one request.
const MOST_REDIRECTS: u32 = 5;

/// How often a request is sent again with another token: once for a token that has expired, and once more where the
/// registry then wants one that allows more.
const MOST_CHALLENGES: u32 = 2;

impl Registry {
    /// Sends a request with authorization; renews a token that is refused, and follows redirects.
    pub(crate) async fn send(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
    ) -> Result<Received> {
        let (received, _) = self.send_metered(call, payload, context).await;
        received
    }

    /// As [`send`](Self::send), with how many bytes of content the connection took in the last try.
    pub(crate) async fn send_metered(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
    ) -> (Result<Received>, u64) {
        let mut taken = 0;
        let received = self.send_following(call, payload, context, &mut taken).await;
        (received, taken)
    }

    async fn send_following(
        &self,
        call: &Call,
        payload: Payload<'_>,
        context: &Context,
        taken: &mut u64,
    ) -> Result<Received> {
        let Inner { transport, authenticator, .. } = &*self.inner;
        let mut call = call.clone();
        let mut fresh: Option<Authorization> = None;
        let (mut redirects, mut challenges) = (0, 0);
        loop {
            let own = self.is_own(&call.url);
            let authorization = match fresh.take() {
                _ if !own => None,
                Some(fresh) => Some(fresh),
                None => authenticator.authorization(transport, &call.scopes).await?,
            };
            let incoming = self.send_once(&call, payload, authorization.as_ref(), taken, context).await?;
            let status = incoming.status;
            if status == StatusCode::UNAUTHORIZED && own && challenges < MOST_CHALLENGES {
                challenges += 1;
                fresh = Some(self.meet_challenge(&call, authorization.as_ref(), incoming, context).await?);
            } else if let Some(next) = redirect(&call, &incoming, context)? {
                redirects += 1;
                if redirects > MOST_REDIRECTS {
                    return Err(context.protocol("it redirects without end"));
                }
                call = next;
            } else {
                return Ok(Received { incoming, url: call.url });
            }
        }
    }

    async fn send_once(
        &self,
        call: &Call,
        payload: Payload<'_>,
        authorization: Option<&Authorization>,
        taken: &mut u64,
        context: &Context,
    ) -> Result<Incoming> {
        let Inner { transport, budget, warnings, .. } = &*self.inner;
        let load = match payload {
            Payload::Source(_) | Payload::Commit => Load::Upload,
            Payload::Nothing | Payload::Bytes(_) => Load::Small,
        };
        // Other hosts have budgets of their own, which nobody states.
        let _permit = if self.is_own(&call.url) { budget.enter(load).await } else { None };
        let mut headers = call.headers.clone();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.header()?);
        }
        let mut meter: Option<Arc<Meter>> = None;
        let body = match payload {
            Payload::Nothing => OutgoingBody::Nothing,
            Payload::Commit => OutgoingBody::Commit,
            Payload::Bytes(bytes) => OutgoingBody::Bytes(bytes.clone()),
            Payload::Source(part) => {
                let (body, own) = part.open(context).await?;
                meter = Some(own);
                body
            }
        };
        let outgoing = Outgoing { method: call.method.clone(), url: call.url.clone(), headers, body };
        let sent = transport.send(outgoing, context).await;
        *taken = meter.map_or(0, |meter| meter.taken());
        let incoming = sent?;
        for value in incoming.headers.get_all(WARNING).iter().filter_map(|value| value.to_str().ok()) {
            warnings.note(value);
        }
        Ok(incoming)
    }

    /// Returns what to show the registry after a `401`.
    async fn meet_challenge(
        &self,
        call: &Call,
        rejected: Option<&Authorization>,
        mut incoming: Incoming,
        context: &Context,
    ) -> Result<Authorization> {
        let Inner { transport, authenticator, .. } = &*self.inner;
        let headers = incoming.headers.clone();
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        // Read to its end, so that the connection can be used again; what it says is of no use.
        let _ = incoming.collect(LARGEST_ERROR).await;
        authenticator.after_challenge(transport, &call.scopes, rejected, values, context).await
    }
}

/// Returns the request that a redirect asks for, if the answer is one.
fn redirect(call: &Call, incoming: &Incoming, context: &Context) -> Result<Option<Call>> {
    let is_read = call.method == Method::GET || call.method == Method::HEAD;
    let follows = match incoming.status.as_u16() {
        301..=303 => is_read,
        307 | 308 => true,
        _ => false,
    };
    let (true, Some(location)) = (follows, incoming.header(LOCATION.as_str())) else { return Ok(None) };
    let url = resolve(&call.url, location)
        .map_err(|reason| context.protocol(format!("it redirects to where it should not: {reason}")))?;
    if call.stays && !same_origin(&call.url, &url) {
        return Ok(None);
    }
    if !is_read && !same_origin(&call.url, &url) {
        return Err(context.protocol("it redirects content to another host"));
    }
    Ok(Some(Call { url, ..call.clone() }))
}

//! Getting a token from a token server (distribution, "Token Authentication" and "OAuth2 Token Authentication").

use std::time::Duration;

use bytes::Bytes;
use http_transfer::RetryRules;
use registry_backend::{Error, ErrorKind, Result};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use tokio::time::Instant;

use super::Scopes;
use super::challenge::BearerChallenge;
use crate::Secret;
use crate::context::Context;
use crate::credentials::Credential;
use crate::refusal::Refusal;
use crate::retry::with_retries;
use crate::transport::{Outgoing, OutgoingBody, Transport};

/// A token, and until when it is used.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: Secret,
    usable_until: Option<Instant>,
}

/// The lifetime of a token whose server states none (distribution, "Token Response Fields").
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// The most time before its end at which a token is no longer used; a fifth of the lifetime for shorter ones.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// The largest answer of a token server in bytes; real ones have a few thousand.
const LARGEST_ANSWER: u64 = 256 * 1024;

impl Token {
    /// Returns a token that the caller has brought along, of whose lifetime nothing is known.
    pub(crate) fn given(token: &Secret) -> Self {
        Self { header: Secret::new(format!("Bearer {}", token.reveal())), usable_until: None }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.usable_until.is_none_or(|end| Instant::now() < end)
    }
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

/// Asks for a token, with patience for servers that ask for it.
///
/// # Errors
///
/// [`Denied`](ErrorKind::Denied) if the server refuses the credential; what keeps it from being asked.
pub(crate) async fn fetch(
    transport: &Transport,
    rules: &RetryRules,
    challenge: &BearerChallenge,
    scopes: &Scopes,
    credential: &Credential,
) -> Result<Token> {
    let target = challenge.realm.host_str().unwrap_or("its token server").to_owned();
    let context = Context::new("get a token from", target);
    with_retries(rules, || async {
        let started = Instant::now();
        let mut incoming = transport.send(request(challenge, scopes, credential)?, &context).await?;
        let (body, whole) =
            incoming.collect(LARGEST_ANSWER).await.map_err(|error| context.transfer(error))?;
        if !incoming.status.is_success() {
            let refusal = Refusal::new(incoming.status, &incoming.headers, &body);
            return Err(refused(refusal, credential, &context));
        }
        if !whole {
            return Err(context.protocol("its answer is too large"));
        }
        read(&body, started, &context)
    })
    .await
}

fn request(challenge: &BearerChallenge, scopes: &Scopes, credential: &Credential) -> Result<Outgoing> {
    let mut headers = HeaderMap::new();
    let mut url = challenge.realm.clone();
    if let Credential::IdentityToken(token) = credential {
        // The query of a URL has the syntax of a form.
        let mut form = url.clone();
        form.query_pairs_mut()
            .clear()
            .append_pair("grant_type", "refresh_token")
            .append_pair("service", challenge.service.as_deref().unwrap_or_default())
            .append_pair("client_id", "distribution-client")
            .append_pair("scope", &scopes.to_string())
            .append_pair("refresh_token", token.reveal());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        let body = OutgoingBody::Bytes(Bytes::from(form.query().unwrap_or_default().to_owned()));
        return Ok(Outgoing { method: Method::POST, url, headers, body });
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &challenge.service {
            query.append_pair("service", service);
        }
        for scope in scopes.iter() {
            query.append_pair("scope", scope);
        }
    }
    if url.query() == Some("") {
        url.set_query(None);
    }
    if let Credential::Password { username, password } = credential {
        headers.insert(AUTHORIZATION, basic(username, password)?);
    }
    Ok(Outgoing { method: Method::GET, url, headers, body: OutgoingBody::Nothing })
}

/// Returns the header of Basic authentication (RFC 7617).
pub(crate) fn basic(username: &str, password: &Secret) -> Result<HeaderValue> {
    sensitive(&http_auth::basic::encode_credentials(username, password.reveal()))
}

/// Returns a header's value that is not shown.
pub(crate) fn sensitive(text: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Error::new(ErrorKind::Invalid, "use", "a token").because("it has characters that no header can carry")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn refused(refusal: Refusal, credential: &Credential, context: &Context) -> Error {
    let is_known = !matches!(credential, Credential::Anonymous);
    if matches!(refusal.status, 400 | 401 | 403) && !refusal.says("rate limit") {
        let reason = if is_known {
            "it does not accept the name and password, or the token, for this registry"
        } else {
            "it gives no token without credentials"
        };
        let said = if refusal.message.is_empty() { String::new() } else { format!(": {}", refusal.message) };
        return context.error(ErrorKind::Denied).because(format!("{reason}{said}"));
    }
    refusal.into_error(|_| None, context)
}

fn read(body: &[u8], started: Instant, context: &Context) -> Result<Token> {
    // The error of the reader may repeat a part of the token.
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(context.protocol("its answer is not a token in JSON"));
    };
    let found = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty());
    let token = found.ok_or_else(|| context.protocol("its answer has no token"))?;
    let stated = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let lifetime = stated.filter(|stated| !stated.is_zero()).unwrap_or(DEFAULT_LIFETIME);
    let usable = lifetime - (lifetime / 5).min(LONGEST_MARGIN);
    // Only this machine's clock counts: `issued_at` is the server's.
    Ok(Token { usable_until: started.checked_add(usable), ..Token::given(&Secret::new(token)) })
}

#[cfg(test)]
mod tests {
    use reqwest::Url;

    use super::*;

    fn challenge() -> BearerChallenge {
        let realm = Url::parse("https://t.example/token?x=1").unwrap();
        BearerChallenge { realm, service: Some("r example".to_owned()), scope: None }
    }

    fn scopes() -> Scopes {
        Scopes::repository(&"a/b".parse().unwrap(), "pull,push").and_repository(&"c".parse().unwrap(), "pull")
    }

    #[test]
    fn a_password_is_shown_in_a_header_and_every_scope_in_the_query() {
        let password = Secret::new("p:w");
        let credential = Credential::Password { username: "u".to_owned(), password };
        let request = request(&challenge(), &scopes(), &credential).unwrap();
        assert_eq!(
            request.url.as_str(),
            "https://t.example/token?x=1&service=r+example&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=repository%3Ac%3Apull"
        );
        assert_eq!(request.headers[AUTHORIZATION], "Basic dTpwOnc=");
        assert!(request.headers[AUTHORIZATION].is_sensitive());
    }

    #[test]
    fn an_identity_token_is_posted() {
        let credential = Credential::IdentityToken(Secret::new("r&t"));
        let request = request(&challenge(), &scopes(), &credential).unwrap();
        let OutgoingBody::Bytes(body) = request.body else { panic!() };
        assert_eq!(
            body,
            "grant_type=refresh_token&service=r+example&client_id=distribution-client\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull&refresh_token=r%26t"
        );
        assert_eq!((request.method, request.url.query()), (Method::POST, Some("x=1")));
        assert!(request.headers.get(AUTHORIZATION).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_for_most_of_its_lifetime() {
        let context = Context::new("get a token from", "x");
        for (body, seconds) in [
            (r#"{"token":"t"}"#, 48),
            (r#"{"access_token":"t","expires_in":5}"#, 4),
            (r#"{"token":"t","expires_in":3600}"#, 3570),
            (r#"{"token":"t","expires_in":-1}"#, 48),
            (r#"{"token":"","access_token":"t","expires_in":0}"#, 48),
        ] {
            let token = read(body.as_bytes(), Instant::now(), &context).unwrap();
            assert_eq!(token.header.reveal(), "Bearer t");
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert!(token.is_usable(), "{body}");
            tokio::time::advance(Duration::from_millis(2)).await;
            assert!(!token.is_usable(), "{body}");
        }
    }

    #[test]
    fn an_answer_without_a_token_shows_nothing_of_itself() {
        let context = Context::new("get a token from", "x");
        for body in ["", "{}", r#"{"token":"secret""#, r#"{"token":["secret"]}"#, "null"] {
            let error = read(body.as_bytes(), Instant::now(), &context).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}

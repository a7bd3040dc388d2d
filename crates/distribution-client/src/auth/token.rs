//! Tokens from a token server (distribution, "Token Authentication" and "OAuth2 Token Authentication").

use std::time::Duration;

use bytes::Bytes;
use http_transfer::{
    Content, Exchange, HeaderValue, Method, Payload, Request, Secret, SendError, Session, Url, html_title,
    looks_like_html, same_origin, without_query,
};
use registry_backend::{Error, ErrorKind, Result};
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;

use super::challenge::BearerChallenge;
use super::scope::Scopes;
use crate::context::{Context, Retries};
use crate::credentials::Credential;
use crate::refusal::Refusal;

/// A token, and the end of its use.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) header: Secret,
    usable_until: Option<Instant>,
}

/// The lifetime of a token whose server states none (distribution, "Token Response Fields").
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);

/// A token is no longer used this long before its end; a fifth of its lifetime if that is shorter.
const LONGEST_MARGIN: Duration = Duration::from_secs(30);

/// The largest answer of a token server in bytes; real ones have a few thousand.
const LARGEST_ANSWER: u64 = 256 * 1024;

impl Token {
    /// Returns a token that the caller brought, whose lifetime is unknown.
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
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<f64>,
}

/// Reads a number, or a number in quotes as some token servers write it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Option::<Written>::deserialize(deserializer)? {
        Some(Written::Number(number)) => Some(number),
        Some(Written::Text(text)) => text.trim().parse().ok(),
        Some(Written::Other(_)) | None => None,
    })
}

/// Asks for a token, and again where the server fails.
///
/// # Errors
///
/// [`Denied`](ErrorKind::Denied) if the server refuses the credential; if it cannot be asked.
pub(super) async fn fetch(
    retries: &Retries,
    challenge: &BearerChallenge,
    scopes: &Scopes,
    credential: &Credential,
) -> Result<Token> {
    let target = challenge.realm.host_str().unwrap_or("its token server").to_owned();
    let context = Context::new("get a token from", target);
    let asked = Asked::new(retries, challenge, scopes, credential)?;
    // A token server has its own fate: whether it has answered counts for itself.
    let retries = Retries { url: challenge.realm.clone(), ..retries.clone() };
    retries
        .retry(|| async {
            let started = Instant::now();
            let (asked, realm, session) = (&asked, &challenge.realm, &*retries.session);
            let mut exchange = TokenExchange { asked, realm, session, context: &context };
            let received = retries.session.send(&asked.request, &mut exchange).await?;
            let answer = received.whole(LARGEST_ANSWER, LARGEST_ANSWER).await;
            let answer = answer.map_err(|error| context.transfer(error))?;
            if !answer.status.is_success() {
                let refusal = Refusal::new(answer.status, &answer.headers, &answer.body);
                return Err(refused(refusal, credential, &context));
            }
            if !answer.is_whole {
                return Err(context.protocol(format!("its answer has more than {LARGEST_ANSWER} bytes")));
            }
            read(&answer.body, &answer.url, started, &context)
        })
        .await
}

/// A request for a token.
struct Asked {
    request: Request,
    form: Option<Bytes>,
    authorization: Option<HeaderValue>,
}

impl Asked {
    fn new(
        retries: &Retries,
        challenge: &BearerChallenge,
        scopes: &Scopes,
        credential: &Credential,
    ) -> Result<Self> {
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
            let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
            let request =
                Request::new(Method::POST, url, retries.answer_limit).with_header(CONTENT_TYPE, form_type);
            let form = Some(Bytes::from(form.query().unwrap_or_default().to_owned()));
            return Ok(Self { request, form, authorization: None });
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
        let authorization = match credential {
            Credential::Password { username, password } => Some(basic(username, password)?),
            _ => None,
        };
        let request = Request::new(Method::GET, url, retries.answer_limit);
        Ok(Self { request, form: None, authorization })
    }
}

/// Shows the password to the token server itself.
struct TokenExchange<'a> {
    asked: &'a Asked,
    realm: &'a Url,
    session: &'a Session,
    context: &'a Context,
}

impl Exchange for TokenExchange<'_> {
    type Error = Error;

    fn failed(&self, error: SendError) -> Error {
        self.context.send_error(error, self.realm, self.session)
    }

    async fn authorization(&mut self, url: &Url) -> Result<Option<HeaderValue>> {
        Ok(self.asked.authorization.clone().filter(|_| same_origin(self.realm, url)))
    }

    async fn payload(&mut self) -> Result<Payload<Error>> {
        Ok(match &self.asked.form {
            Some(form) => Payload::Content(Content::bytes(form.clone())),
            None => Payload::Nothing,
        })
    }
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

fn read(body: &[u8], url: &Url, started: Instant, context: &Context) -> Result<Token> {
    // The reader's own error may repeat a part of the token.
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        let place = without_query(url);
        if looks_like_html(body) {
            let page = String::from_utf8_lossy(body);
            let title = http_transfer::shortened(html_title(&page).unwrap_or("without a title"), 100);
            return Err(
                context.protocol(format!("expected a token in JSON, found a web page at {place}: {title}"))
            );
        }
        return Err(context.protocol(format!("expected a token in JSON, found something else at {place}")));
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
    use std::sync::Arc;

    use http_transfer::{RetryRules, Session, SessionSettings, WaitObserver};

    use super::*;

    fn asked(credential: &Credential) -> Asked {
        let url = Url::parse("https://r.example/v2/").unwrap();
        let session = Arc::new(Session::new(&SessionSettings::new(&url)).unwrap());
        let answer_limit = Duration::from_secs(1);
        let (rules, observer) = (RetryRules::default(), WaitObserver::default());
        let retries = Retries { rules, session, url, observer, answer_limit };
        Asked::new(&retries, &challenge(), &scopes(), credential).unwrap()
    }

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
        let Asked { request, authorization, .. } = asked(&credential);
        assert_eq!(
            request.url.as_str(),
            "https://t.example/token?x=1&service=r+example&scope=repository%3Aa%2Fb%3Apull%2Cpush\
             &scope=repository%3Ac%3Apull"
        );
        let authorization = authorization.unwrap();
        assert_eq!(authorization, "Basic dTpwOnc=");
        assert!(authorization.is_sensitive());
    }

    #[test]
    fn an_identity_token_is_posted() {
        let credential = Credential::IdentityToken(Secret::new("r&t"));
        let Asked { request, form, authorization } = asked(&credential);
        assert_eq!(
            form.unwrap(),
            "grant_type=refresh_token&service=r+example&client_id=distribution-client\
             &scope=repository%3Aa%2Fb%3Apull%2Cpush+repository%3Ac%3Apull&refresh_token=r%26t"
        );
        assert_eq!((request.method, request.url.query()), (Method::POST, Some("x=1")));
        assert!(authorization.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_used_for_most_of_its_lifetime() {
        let context = Context::new("get a token from", "x");
        let url = Url::parse("https://t.example/token?secret").unwrap();
        for (body, seconds) in [
            (r#"{"token":"t"}"#, 48),
            (r#"{"access_token":"t","expires_in":5}"#, 4),
            (r#"{"token":"t","expires_in":3600}"#, 3570),
            (r#"{"token":"t","expires_in":-1}"#, 48),
            (r#"{"token":"","access_token":"t","expires_in":0}"#, 48),
            (r#"{"token":"t","expires_in":"3600"}"#, 3570),
            (r#"{"token":"t","expires_in":"soon"}"#, 48),
            (r#"{"token":"t","expires_in":null}"#, 48),
        ] {
            let token = read(body.as_bytes(), &url, Instant::now(), &context).unwrap();
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
        let url = Url::parse("https://t.example/token?secret").unwrap();
        for body in ["", "{}", r#"{"token":"secret""#, r#"{"token":["secret"]}"#, "null", "<html>"] {
            let error = read(body.as_bytes(), &url, Instant::now(), &context).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
    }
}

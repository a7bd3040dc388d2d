//! Authentication: scopes, the authorization of a request, and its change after a `401`.

pub(crate) mod challenge;
pub(crate) mod scope;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http_transfer::{HeaderValue, Secret, Url};
use oci_model::RepositoryName;
use registry_backend::{Error, ErrorKind, Result};

use crate::context::{Context, Retries};
use crate::credentials::{Credential, CredentialSource};
use challenge::{BearerChallenge, Challenge, choose};
pub(crate) use scope::Scopes;
pub(crate) use token::sensitive;
use token::{Token, basic};

/// Authenticates requests to one registry, and keeps its tokens.
#[derive(Debug)]
pub(crate) struct Authenticator {
    host: String,
    base: Url,
    credentials: Arc<dyn CredentialSource>,
    retries: Retries,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    /// The header for each repository: credentials may be for a part of the registry.
    basic: HashMap<Option<RepositoryName>, Secret>,
    tokens: HashMap<Scopes, Slot>,
    /// Scopes that the registry wanted wider than the client had asked for.
    widened: HashMap<Scopes, Scopes>,
}

/// The token of one scope. The holder of the lock requests it; the others wait and find it.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The value of a request's `Authorization` header.
#[derive(Clone, Debug)]
pub(crate) struct Authorization(Secret);

impl Authorization {
    pub(crate) fn header(&self) -> Result<HeaderValue> {
        sensitive(self.0.reveal())
    }
}

/// The most scopes whose tokens are kept.
const MOST_TOKENS: usize = 4096;

impl Authenticator {
    pub(crate) fn new(
        host: &str,
        base: &Url,
        credentials: Arc<dyn CredentialSource>,
        retries: Retries,
    ) -> Self {
        Self { host: host.to_owned(), base: base.clone(), credentials, retries, state: Mutex::default() }
    }

    /// Returns the authorization for a request, `None` before the registry's first challenge.
    ///
    /// # Errors
    ///
    /// If the token server gives no token.
    pub(crate) async fn authorization(&self, scopes: &Scopes) -> Result<Option<Authorization>> {
        let (challenge, basic) = {
            let state = self.state();
            (state.challenge.clone(), state.basic.get(&scopes.main_repository().cloned()).cloned())
        };
        match challenge {
            None => Ok(None),
            Some(Challenge::Basic) => Ok(basic.map(Authorization)),
            Some(Challenge::Bearer(bearer)) => {
                let authorization = self.token(&bearer, &self.effective(scopes), None).await?;
                Ok(Some(authorization))
            }
        }
    }

    /// Returns another authorization, after a `401` with these `WWW-Authenticate` headers.
    ///
    /// # Errors
    ///
    /// [`Denied`](ErrorKind::Denied) if there is none.
    pub(crate) async fn after_challenge(
        &self,
        scopes: &Scopes,
        rejected: Option<&Authorization>,
        values: &[&str],
        context: &Context,
    ) -> Result<Authorization> {
        let network = self.retries.session.network_of(&self.base).await;
        let challenge = choose(&self.base, network, values.iter().copied());
        let challenge = challenge.map_err(|reason| context.error(ErrorKind::Denied).because(reason))?;
        self.state().challenge = Some(challenge.clone());
        match challenge {
            Challenge::Basic => self.basic(scopes.main_repository(), rejected, context).await,
            Challenge::Bearer(bearer) => {
                let current = self.effective(scopes);
                let wanted = bearer.scope.as_deref().filter(|_| rejected.is_some());
                let widened = wanted.and_then(|wanted| current.widened_by(wanted));
                if let Some(widened) = &widened {
                    let mut state = self.state();
                    if state.widened.len() < MOST_TOKENS {
                        state.widened.insert(scopes.clone(), widened.clone());
                    }
                }
                self.token(&bearer, &widened.unwrap_or(current), rejected).await
            }
        }
    }

    fn effective(&self, scopes: &Scopes) -> Scopes {
        self.state().widened.get(scopes).unwrap_or(scopes).clone()
    }

    async fn basic(
        &self,
        repository: Option<&RepositoryName>,
        rejected: Option<&Authorization>,
        context: &Context,
    ) -> Result<Authorization> {
        let denied = |reason: &str| context.error(ErrorKind::Denied).because(reason);
        let header = match self.credentials.credential(&self.host, repository).await? {
            Credential::Password { username, password } => basic(&username, &password)?,
            Credential::RegistryToken(token) => sensitive(&format!("Bearer {}", token.reveal()))?,
            Credential::Anonymous => return Err(denied("the registry wants a login")),
            Credential::IdentityToken(_) => {
                return Err(denied("the registry wants a name and password, not a refresh token"));
            }
        };
        let header = Secret::new(header.to_str().unwrap_or_default());
        if rejected.is_some_and(|rejected| rejected.0 == header) {
            return Err(denied("the registry does not accept the name and password"));
        }
        let mut state = self.state();
        if state.basic.len() >= MOST_TOKENS {
            state.basic.clear();
        }
        state.basic.insert(repository.cloned(), header.clone());
        Ok(Authorization(header))
    }

    async fn token(
        &self,
        challenge: &BearerChallenge,
        scopes: &Scopes,
        rejected: Option<&Authorization>,
    ) -> Result<Authorization> {
        let slot = self.slot(scopes);
        let mut kept = slot.lock().await;
        if let Some(token) = &*kept {
            let is_rejected = rejected.is_some_and(|rejected| rejected.0 == token.header);
            if token.is_usable() && !is_rejected {
                return Ok(Authorization(token.header.clone()));
            }
        }
        let credential = self.credentials.credential(&self.host, scopes.main_repository()).await?;
        let token = if let Credential::RegistryToken(token) = &credential {
            let given = Token::given(token);
            if rejected.is_some_and(|rejected| rejected.0 == given.header) {
                let error = Error::new(ErrorKind::Denied, "use the token for", &self.host);
                return Err(error.because("the registry does not accept it"));
            }
            given
        } else {
            token::fetch(&self.retries, challenge, scopes, &credential).await?
        };
        let authorization = Authorization(token.header.clone());
        *kept = Some(token);
        Ok(authorization)
    }

    fn slot(&self, scopes: &Scopes) -> Slot {
        let mut state = self.state();
        if state.tokens.len() >= MOST_TOKENS {
            state.tokens.clear();
        }
        state.tokens.entry(scopes.clone()).or_default().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single assignment or insertion.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

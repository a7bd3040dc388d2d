//! Users, and the tokens that they were given.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who may use a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody, to do everything.
    None,
    /// These users, with Basic authentication (RFC 7617).
    Basic(Vec<User>),
    /// Holders of tokens that the token endpoint gives (distribution, "Token Authentication").
    Bearer(BearerAuth),
}

/// A user with a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Name.
    pub name: String,
    /// Password, or token that stands for one.
    pub password: String,
    /// Whether pushing is allowed; pulling always is.
    pub may_push: bool,
    /// Whether deleting is allowed.
    pub may_delete: bool,
}

/// How bearer tokens are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerAuth {
    /// Those who get tokens.
    pub users: Vec<User>,
    /// Whether everybody gets a token for pulling.
    pub anonymous_pull: bool,
    /// How long a token is valid.
    pub lifetime: Duration,
    /// For how many requests a token is valid, or `None` if for any number.
    pub uses: Option<u32>,
    /// Whether the token endpoint is on the storage host instead of the registry's.
    pub on_other_host: bool,
}

impl User {
    /// Returns a user who may push and delete.
    pub fn new(name: &str, password: &str) -> Self {
        Self { name: name.to_owned(), password: password.to_owned(), may_push: true, may_delete: true }
    }

    /// Returns a user who may only pull.
    pub fn reader(name: &str, password: &str) -> Self {
        Self { may_push: false, may_delete: false, ..Self::new(name, password) }
    }
}

impl Auth {
    /// Returns bearer authentication with tokens of five minutes, without anonymous access.
    pub fn bearer(users: Vec<User>) -> Self {
        Self::Bearer(BearerAuth::new(users))
    }

    /// Returns the user of a name and password.
    pub(super) fn user(&self, name: &str, password: &str, any_name: bool) -> Option<&User> {
        let users = match self {
            Self::None => return None,
            Self::Basic(users) => users,
            Self::Bearer(bearer) => &bearer.users,
        };
        users.iter().find(|user| user.password == password && (any_name || user.name == name))
    }
}

impl BearerAuth {
    /// Returns tokens of five minutes for these users, without anonymous access.
    pub fn new(users: Vec<User>) -> Self {
        Self {
            users,
            anonymous_pull: false,
            lifetime: Duration::from_secs(300),
            uses: None,
            on_other_host: false,
        }
    }

    /// Returns the same with tokens for pulling for everybody.
    #[must_use]
    pub fn with_anonymous_pull(mut self) -> Self {
        self.anonymous_pull = true;
        self
    }

    /// Returns the same with tokens that are valid for so long.
    #[must_use]
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Returns the same with tokens that are valid for so many requests.
    #[must_use]
    pub fn with_uses(mut self, uses: u32) -> Self {
        self.uses = Some(uses);
        self
    }

    /// Returns the same with the token endpoint on the storage host.
    #[must_use]
    pub fn on_other_host(mut self) -> Self {
        self.on_other_host = true;
        self
    }
}

/// The access of a request to a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
}

impl User {
    pub(super) fn may(&self, access: Access) -> bool {
        match access {
            Access::Pull => true,
            Access::Push => self.may_push,
            Access::Delete => self.may_delete,
        }
    }
}

/// The tokens that were given.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    given: u64,
    access: HashMap<String, Token>,
    refresh: HashMap<String, User>,
}

#[derive(Debug)]
struct Token {
    /// Repositories and actions.
    grants: Vec<(String, Vec<String>)>,
    user: Option<User>,
    expires: Instant,
    uses_left: Option<u32>,
}

/// Whether a token covers a request.
pub(super) enum Verdict {
    /// It is none of ours, or has expired.
    Invalid,
    /// It does not cover the request.
    Insufficient {
        /// Whether its user may not do that with any token.
        user_may_not: bool,
    },
    /// It covers the request.
    Good,
}

impl Tokens {
    /// Returns the user to whom a refresh token was given.
    pub(super) fn refreshed_user(&self, token: &str) -> Option<User> {
        self.state().refresh.get(token).cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all tokens expire; refresh tokens stay.
    pub(super) fn expire_all(&self) {
        self.state().access.clear();
    }

    /// Uses a token for a request.
    pub(super) fn use_for(
        &self,
        token: &str,
        repository: &str,
        access: Option<Access>,
        push_deletes: bool,
    ) -> Verdict {
        let mut state = self.state();
        let Some(token) = state.access.get_mut(token) else { return Verdict::Invalid };
        let used_up = token.uses_left == Some(0);
        if used_up || Instant::now() >= token.expires {
            return Verdict::Invalid;
        }
        token.uses_left = token.uses_left.map(|left| left - 1);
        let Some(access) = access else { return Verdict::Good };
        if token
            .grants
            .iter()
            .any(|(name, actions)| name == repository && covers(actions, access, push_deletes))
        {
            return Verdict::Good;
        }
        let user_may_not = token.user.as_ref().is_some_and(|user| !user.may(access));
        Verdict::Insufficient { user_may_not }
    }

    /// Tells whether a token is good for pulling from a repository, without using it.
    pub(super) fn may_pull(&self, token: &str, repository: &str) -> bool {
        let state = self.state();
        let Some(token) = state.access.get(token) else { return false };
        token.grants.iter().any(|(name, actions)| name == repository && covers(actions, Access::Pull, false))
    }

    pub(super) fn give(
        &self,
        bearer: &BearerAuth,
        user: Option<User>,
        grants: Vec<(String, Vec<String>)>,
    ) -> String {
        let mut state = self.state();
        state.given += 1;
        let name = format!("scripted-access-token-{}", state.given);
        let token = Token { grants, user, expires: Instant::now() + bearer.lifetime, uses_left: bearer.uses };
        state.access.insert(name.clone(), token);
        name
    }

    pub(super) fn give_refresh(&self, user: &User) -> String {
        let mut state = self.state();
        state.given += 1;
        let name = format!("scripted-refresh-token-{}", state.given);
        state.refresh.insert(name.clone(), user.clone());
        name
    }
}

fn covers(actions: &[String], access: Access, push_deletes: bool) -> bool {
    let has = |wanted: &str| actions.iter().any(|action| action == wanted || action == "*");
    match access {
        Access::Pull => has("pull"),
        Access::Push => has("push"),
        Access::Delete => has("delete") || (push_deletes && has("push")),
    }
}

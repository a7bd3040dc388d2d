//! Who may do what: nobody asked, Basic, or bearer tokens with scopes.

mod check;
mod token;

use std::time::Duration;

pub(super) use check::{challenge, check, may_pull};
pub(super) use token::{Tokens, give};

/// Whom a registry lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Everybody, to do everything.
    None,
    /// These users, with Basic authentication (RFC 7617).
    Basic(Vec<User>),
    /// Holders of tokens that the token endpoint gives (distribution, "Token Authentication").
    Bearer(BearerAuth),
}

/// Somebody with a password.
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

/// What a request does with a repository.
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

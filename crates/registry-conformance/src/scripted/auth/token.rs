//! The token endpoint: tokens for scopes, and refresh tokens.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

use super::{Access, Auth, BearerAuth, User};
use crate::scripted::app::App;
use crate::scripted::log::basic;
use crate::scripted::refused::{Answered, Refused};
use crate::scripted::reply;
use crate::scripted::route::Query;
use crate::scripted::serve::Exchange;

/// The tokens that were given.
#[derive(Debug, Default)]
pub(in crate::scripted) struct Tokens {
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
    /// What it is for: repository and actions.
    grants: Vec<(String, Vec<String>)>,
    user: Option<User>,
    expires: Instant,
    uses_left: Option<u32>,
}

/// What a token says about a request.
pub(in crate::scripted) enum Verdict {
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
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all tokens expire; refresh tokens stay.
    pub(in crate::scripted) fn expire_all(&self) {
        self.state().access.clear();
    }

    /// Uses a token for a request.
    pub(in crate::scripted) fn use_for(
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
    pub(in crate::scripted) fn may_pull(&self, token: &str, repository: &str) -> bool {
        let state = self.state();
        let Some(token) = state.access.get(token) else { return false };
        token.grants.iter().any(|(name, actions)| name == repository && covers(actions, Access::Pull, false))
    }

    fn give(&self, bearer: &BearerAuth, user: Option<User>, grants: Vec<(String, Vec<String>)>) -> String {
        let mut state = self.state();
        state.given += 1;
        let name = format!("scripted-access-token-{}", state.given);
        let token = Token { grants, user, expires: Instant::now() + bearer.lifetime, uses_left: bearer.uses };
        state.access.insert(name.clone(), token);
        name
    }

    fn give_refresh(&self, user: &User) -> String {
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

/// Answers a request for a token.
pub(in crate::scripted) fn give(exchange: &Exchange<'_>, form: &Query) -> Answered {
    let app = exchange.app;
    let Auth::Bearer(bearer) = &app.config.auth else {
        return Err(Refused::new(404, "UNSUPPORTED", "this registry gives no tokens"));
    };
    let behaviour = &app.config.behaviour.tokens;
    let is_post = exchange.parts.method == Method::POST;
    if is_post && !behaviour.oauth2 {
        return Err(Refused::new(405, "UNSUPPORTED", "tokens are asked for with GET"));
    }
    let fields = if is_post { form } else { exchange.query };
    let user =
        if is_post { user_of_form(app, form)? } else { user_of_headers(app, &exchange.parts.headers)? };
    if user.is_none() && !bearer.anonymous_pull {
        return Err(Refused::new(401, "UNAUTHORIZED", "authentication required"));
    }
    let mut grants = Vec::new();
    for scope in fields.all("scope").flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty()) {
        grants.push(grant(scope, user.as_ref(), behaviour.actions, behaviour.push_deletes)?);
    }
    let mut answer = Map::new();
    let offline = is_post && fields.get("access_type") == Some("offline");
    if let Some(user) = user.as_ref().filter(|_| offline) {
        answer.insert("refresh_token".to_owned(), app.tokens.give_refresh(user).into());
    }
    let token = app.tokens.give(bearer, user, grants);
    let names: &[&str] = if is_post { &["access_token"] } else { behaviour.fields };
    for name in names {
        answer.insert((*name).to_owned(), token.clone().into());
    }
    if behaviour.states_expiry {
        answer.insert("expires_in".to_owned(), json!(bearer.lifetime.as_secs()));
    }
    Ok(reply::full(200, "application/json", Value::Object(answer).to_string()))
}

fn user_of_headers(app: &App, headers: &HeaderMap) -> Result<Option<User>, Refused> {
    if !headers.contains_key("authorization") {
        return Ok(None);
    }
    let found = basic(headers).and_then(|(name, password)| find_user(app, &name, &password));
    found.map(Some).ok_or_else(wrong_password)
}

/// The user of an OAuth2 request (distribution, "Oauth2 Token Authentication").
fn user_of_form(app: &App, form: &Query) -> Result<Option<User>, Refused> {
    let field = |name| form.get(name).unwrap_or_default();
    let found = match field("grant_type") {
        "password" => find_user(app, field("username"), field("password")),
        "refresh_token" => app.tokens.state().refresh.get(field("refresh_token")).cloned(),
        _ => return Err(Refused::new(400, "UNSUPPORTED", "unknown grant_type")),
    };
    found.map(Some).ok_or_else(wrong_password)
}

fn find_user(app: &App, name: &str, password: &str) -> Option<User> {
    app.config.auth.user(name, password, app.config.behaviour.tokens.any_user_name).cloned()
}

fn wrong_password() -> Refused {
    Refused::new(401, "UNAUTHORIZED", "wrong user name or password")
}

/// What a scope gives a user: no more than the user may, without saying so (distribution, "Requesting a Token").
fn grant(
    scope: &str,
    user: Option<&User>,
    known: &[&str],
    push_deletes: bool,
) -> Result<(String, Vec<String>), Refused> {
    let bad = || Refused::new(400, "DENIED", format!("invalid scope `{scope}`"));
    let (repository, actions) =
        scope.strip_prefix("repository:").and_then(|rest| rest.rsplit_once(':')).ok_or_else(bad)?;
    let mut granted = Vec::new();
    for action in actions.split(',') {
        if !known.contains(&action) {
            return Err(bad());
        }
        let may = |access| user.is_some_and(|user| user.may(access));
        let allowed = match action {
            "pull" => true,
            "push" => may(Access::Push),
            "delete" => may(Access::Delete),
            _ => may(Access::Push) && (may(Access::Delete) || push_deletes),
        };
        if allowed {
            granted.push(action.to_owned());
        }
    }
    Ok((repository.to_owned(), granted))
}

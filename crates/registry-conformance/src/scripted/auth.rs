//! Authentication: whether a request may be served, the challenge if not, and the token endpoint.

use scripted_http::axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use scripted_http::axum::http::{HeaderMap, Method};
use scripted_http::{Query, full};
use serde_json::{Map, Value, json};

use super::answer::{Answered, Refused};
use super::exchange::{App, Credentials, Exchange, basic};
use super::route::{Route, Target};
use super::tokens::{Access, Auth, BearerAuth, User, Verdict};

/// Lets a request pass, or refuses it.
pub(super) fn check(app: &App, target: &Target, headers: &HeaderMap) -> Result<(), Refused> {
    let access = access_of(target.route);
    match &app.config.auth {
        Auth::None => Ok(()),
        Auth::Basic(_) => {
            match basic(headers).and_then(|(name, password)| app.config.auth.user(&name, &password, false)) {
                None => Err(challenge(app, target, None)),
                Some(user) if access.is_some_and(|access| !user.may(access)) => {
                    Err(Refused::new(403, "DENIED", "requested access to the resource is denied"))
                }
                Some(_) => Ok(()),
            }
        }
        Auth::Bearer(_) => check_token(app, target, headers, access),
    }
}

/// Tells whether a request may mount from a repository.
pub(super) fn may_pull(exchange: &Exchange<'_>, repository: &str) -> bool {
    match (&exchange.app.config.auth, Credentials::of(&exchange.parts.headers)) {
        (Auth::Bearer(_), Credentials::Bearer { token }) => exchange.app.tokens.may_pull(&token, repository),
        (Auth::Bearer(_), _) => false,
        (Auth::None | Auth::Basic(_), _) => true,
    }
}

fn check_token(
    app: &App,
    target: &Target,
    headers: &HeaderMap,
    access: Option<Access>,
) -> Result<(), Refused> {
    let Credentials::Bearer { token } = Credentials::of(headers) else {
        return Err(challenge(app, target, None));
    };
    let behaviour = &app.config.behaviour.tokens;
    match app.tokens.use_for(&token, &target.repository, access, behaviour.push_deletes) {
        Verdict::Good => Ok(()),
        Verdict::Invalid => Err(challenge(app, target, Some("invalid_token"))),
        Verdict::Insufficient { user_may_not: true } if behaviour.denies_with_403 => {
            Err(Refused::new(403, "DENIED", "permission_denied: write_package"))
        }
        Verdict::Insufficient { .. } => Err(challenge(app, target, Some("insufficient_scope"))),
    }
}

/// The refusal of a request that does not prove who asks (RFC 6750 section 3).
pub(super) fn challenge(app: &App, target: &Target, error: Option<&str>) -> Refused {
    let refused = Refused::new(401, "UNAUTHORIZED", "authentication required");
    let text = match &app.config.auth {
        Auth::Bearer(bearer) => bearer_challenge(app, bearer, target, error),
        Auth::None | Auth::Basic(_) => "Basic realm=\"scripted registry\"".to_owned(),
    };
    refused.with_header(WWW_AUTHENTICATE, text)
}

fn bearer_challenge(app: &App, bearer: &BearerAuth, target: &Target, error: Option<&str>) -> String {
    let behaviour = &app.config.behaviour.tokens;
    let host = if bearer.on_other_host { &app.storage_host } else { &app.host };
    let mut text = format!("Bearer realm=\"http://{host}{}\",service=\"{}\"", behaviour.path, app.host);
    let actions = access_of(target.route).map(|access| match access {
        Access::Pull => "pull",
        Access::Push => "pull,push",
        Access::Delete => {
            if behaviour.push_deletes {
                "pull,push"
            } else {
                "delete"
            }
        }
    });
    match actions {
        Some(actions) => text += &format!(",scope=\"repository:{}:{actions}\"", target.repository),
        None if target.route == Route::Catalog => text += &format!(",scope=\"{CATALOG_SCOPE}\""),
        None => {
            text += &behaviour.ping_scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
        }
    }
    text + &error
        .filter(|_| behaviour.states_error)
        .map(|error| format!(",error=\"{error}\""))
        .unwrap_or_default()
}

/// The scope of the list of repositories (distribution, "Token Scope Documentation").
const CATALOG_SCOPE: &str = "registry:catalog:*";

fn access_of(route: Route) -> Option<Access> {
    match route {
        Route::Ping | Route::Token | Route::Catalog | Route::Storage | Route::Unknown => None,
        Route::BlobHead
        | Route::BlobGet
        | Route::ManifestHead
        | Route::ManifestGet
        | Route::Tags
        | Route::QuayTags
        | Route::Referrers => Some(Access::Pull),
        Route::UploadStart
        | Route::Mount
        | Route::UploadPatch
        | Route::UploadCommit
        | Route::UploadStatus
        | Route::UploadCancel
        | Route::ManifestPut => Some(Access::Push),
        Route::BlobDelete | Route::ManifestDelete => Some(Access::Delete),
    }
}

/// Answers a request for a token.
pub(super) fn give(exchange: &Exchange<'_>, form: &Query) -> Answered {
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
    if behaviour.one_scope_per_parameter && fields.all("scope").any(|scopes| scopes.contains(' ')) {
        return Err(Refused::new(400, "DENIED", "expected one scope per parameter"));
    }
    let mut grants = Vec::new();
    let scopes = fields.all("scope").flat_map(|scopes| scopes.split(' '));
    // Any token serves for the list of repositories.
    for scope in scopes.filter(|scope| !scope.is_empty() && *scope != CATALOG_SCOPE) {
        let (repository, mut actions) =
            grant(scope, user.as_ref(), behaviour.actions, behaviour.push_deletes)?;
        if behaviour.push_creates && actions.iter().any(|action| action == "push" || action == "*") {
            app.store.change(&repository, |_| {});
        }
        if behaviour.hides_absent && !app.store.knows(&repository) {
            actions.clear();
        }
        grants.push((repository, actions));
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
    Ok(full(200, "application/json", Value::Object(answer).to_string()))
}

fn user_of_headers(app: &App, headers: &HeaderMap) -> Result<Option<User>, Refused> {
    if !headers.contains_key(AUTHORIZATION) {
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
        "refresh_token" => app.tokens.refreshed_user(field("refresh_token")),
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

/// Returns the actions of a scope that the user may do. The registry drops the others silently (distribution, "Requesting a Token").
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

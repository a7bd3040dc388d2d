//! Whether a request may be served, and the challenge if not.

use axum::http::HeaderMap;
use axum::http::header::WWW_AUTHENTICATE;

use super::token::Verdict;
use super::{Access, Auth, BearerAuth};
use crate::scripted::Route;
use crate::scripted::app::App;
use crate::scripted::log::{Credentials, basic};
use crate::scripted::refused::Refused;
use crate::scripted::route::Target;
use crate::scripted::serve::Exchange;

/// Lets a request pass, or refuses it.
pub(in crate::scripted) fn check(app: &App, target: &Target, headers: &HeaderMap) -> Result<(), Refused> {
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
pub(in crate::scripted) fn may_pull(exchange: &Exchange<'_>, repository: &str) -> bool {
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
pub(in crate::scripted) fn challenge(app: &App, target: &Target, error: Option<&str>) -> Refused {
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
        None => {
            text += &behaviour.ping_scope.map(|scope| format!(",scope=\"{scope}\"")).unwrap_or_default();
        }
    }
    text + &error.map(|error| format!(",error=\"{error}\"")).unwrap_or_default()
}

fn access_of(route: Route) -> Option<Access> {
    match route {
        Route::Ping | Route::Token | Route::Storage | Route::Unknown => None,
        Route::BlobHead
        | Route::BlobGet
        | Route::ManifestHead
        | Route::ManifestGet
        | Route::Tags
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

//! Authentication: challenges, scopes, tokens.

mod authenticator;
mod challenge;
mod scope;
mod token;

pub(crate) use authenticator::{Authenticator, Authorization};
pub(crate) use scope::Scopes;
pub(crate) use token::sensitive;

//! Authentication: challenges, scopes, tokens.

mod authenticator;
pub(crate) mod challenge;
mod scope;
mod token;

pub(crate) use authenticator::{Authenticator, Authorization};
pub(crate) use scope::Scopes;
pub(crate) use token::sensitive;

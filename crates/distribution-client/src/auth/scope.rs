//! Scopes: the rights of a token (distribution, "Token Scope Documentation").

use std::collections::BTreeSet;
use std::fmt;

use oci_model::RepositoryName;

/// The rights that a token needs. Tokens are kept per exact value: some registries refuse a token with more rights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scopes {
    /// The repository whose credentials are shown.
    of: Option<RepositoryName>,
    texts: Vec<String>,
}

impl Scopes {
    /// Returns the scope of no repository, as for checking credentials.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// Returns the scope of the list of repositories (distribution, "Token Scope Documentation", resource type `registry`).
    pub(crate) fn catalog() -> Self {
        Self { of: None, texts: vec!["registry:catalog:*".to_owned()] }
    }

    /// Returns the scope of one repository with these actions, divided by commas.
    pub(crate) fn repository(name: &RepositoryName, actions: &str) -> Self {
        Self { of: Some(name.clone()), texts: vec![format!("repository:{name}:{actions}")] }
    }

    /// Returns the scopes with another repository's, as mounting a blob needs it.
    #[must_use]
    pub(crate) fn and_repository(mut self, name: &RepositoryName, actions: &str) -> Self {
        self.texts.push(format!("repository:{name}:{actions}"));
        self
    }

    /// Returns the repository of the request; for a mount, the one that receives the blob.
    pub(crate) fn main_repository(&self) -> Option<&RepositoryName> {
        self.of.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// Returns the scopes with the further actions of a challenge, `None` if it asks for nothing more.
    ///
    /// Repositories without a scope are ignored. GHCR names `repository:user/image:pull` in every challenge, and no
    /// registry may decide for which other repositories the caller's credentials are used.
    pub(crate) fn widened_by(&self, challenge: &str) -> Option<Self> {
        let mut widened = self.clone();
        for asked in challenge.split_ascii_whitespace() {
            let Some((resource, actions)) = asked.rsplit_once(':') else { continue };
            for own in &mut widened.texts {
                let Some((own_resource, own_actions)) = own.rsplit_once(':') else { continue };
                if own_resource == resource {
                    let mut all: Vec<&str> = own_actions.split(',').collect();
                    let seen: BTreeSet<&str> = all.iter().copied().collect();
                    let is_action = |action: &&str| {
                        *action == "*"
                            || (!action.is_empty() && action.bytes().all(|b| b.is_ascii_lowercase()))
                    };
                    all.extend(actions.split(',').filter(is_action).filter(|action| !seen.contains(action)));
                    *own = format!("{own_resource}:{}", all.join(","));
                }
            }
        }
        (widened != *self).then_some(widened)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.texts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn a_mount_has_two_scopes() {
        let scopes = Scopes::repository(&name("a/b"), "pull,push").and_repository(&name("c"), "pull");
        assert_eq!(scopes.to_string(), "repository:a/b:pull,push repository:c:pull");
        assert_eq!(scopes.iter().count(), 2);
    }

    #[test]
    fn a_challenge_widens_own_repositories_only() {
        let own = Scopes::repository(&name("a/b"), "pull,push");
        for (challenge, expected) in [
            ("repository:a/b:pull,push", None),
            ("repository:a/b:delete", Some("repository:a/b:pull,push,delete")),
            ("repository:a/b:pull,push,*", Some("repository:a/b:pull,push,*")),
            ("repository:user/image:pull", None),
            ("repository:other:pull,push", None),
            ("repository:a/b:x y:z", Some("repository:a/b:pull,push,x")),
            ("repository:a/b:", None),
            ("registry:catalog:*", None),
            ("", None),
        ] {
            let widened = own.widened_by(challenge).map(|scopes| scopes.to_string());
            assert_eq!(widened.as_deref(), expected, "{challenge}");
        }
    }
}

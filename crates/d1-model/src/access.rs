//! Access policies: the permissions of subjects on an object.

/// The subject that means everybody, signed in or not.
pub const PUBLIC_SUBJECT: &str = "public";

/// Lists who may read, write, or change the permissions of an object. Without a policy, only the rights holder
/// may.
///
/// ```
/// use d1_model::{AccessPolicy, AccessRule, PUBLIC_SUBJECT, Permission};
///
/// let rule = |subject: &str, permission| AccessRule {
///     subjects: vec![subject.to_owned()],
///     permissions: vec![permission],
/// };
/// let mut policy = AccessPolicy { rules: vec![rule("https://orcid.org/0000-0003-4703-1974", Permission::Write)] };
/// assert!(!policy.is_public());
/// policy.rules.push(rule(PUBLIC_SUBJECT, Permission::Read));
/// assert!(policy.is_public());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessPolicy {
    /// The rules. Each grants its permissions to its subjects.
    pub rules: Vec<AccessRule>,
}

/// Grants permissions to subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// The subjects: identities such as an ORCID or a distinguished name, groups, or `public`.
    pub subjects: Vec<String>,
    /// The permissions.
    pub permissions: Vec<Permission>,
}

/// A permission on an object. Each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Permission {
    /// Reading the object and its system metadata.
    Read,
    /// Replacing the object by a new version.
    Write,
    /// Changing the access policy.
    ChangePermission,
}

impl AccessPolicy {
    /// Returns whether everybody may read: a rule names [`PUBLIC_SUBJECT`] with any permission.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.rules.iter().any(|rule| {
            !rule.permissions.is_empty() && rule.subjects.iter().any(|subject| subject == PUBLIC_SUBJECT)
        })
    }
}

impl Permission {
    /// Returns the permission's name in the schema.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ChangePermission => "changePermission",
        }
    }

    /// Finds a permission by its name in the schema.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::ChangePermission].into_iter().find(|known| known.name() == name)
    }
}

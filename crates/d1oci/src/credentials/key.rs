//! The names under which credential files keep what belongs to a registry.

/// The name under which Docker keeps what belongs to its Hub (docker/cli, cli/config/credentials/file_store.go and
/// moby registry/config.go).
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// A key of `auths`: a host, and perhaps the beginning of the names of repositories, as Podman keeps them
/// (containers-auth.json(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Key {
    /// Reads a key as any program may have written it: `quay.io`, `https://quay.io`, `quay.io/v2/`, `quay.io/namespace`.
    pub(crate) fn parse(text: &str) -> Self {
        let without_scheme = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let (host, path) = match without_scheme {
            // The path of a URL is that of an interface, not of a repository.
            Some(rest) => (rest.split('/').next().unwrap_or(rest), ""),
            None => text.split_once('/').unwrap_or((text, "")),
        };
        let path = match path.trim_matches('/') {
            "v1" | "v2" => "",
            path => path,
        };
        Self { host: canonical_host(host), path: path.to_owned() }
    }

    /// Tells whether it is for this repository, or, without one, for the registry as a whole.
    pub(crate) fn covers(&self, host: &str, repository: Option<&str>) -> bool {
        if self.host != host {
            return false;
        }
        self.path.is_empty()
            || repository.is_some_and(|repository| {
                repository
                    .strip_prefix(self.path.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }
}

/// Returns the one form of a registry's host: in small letters, and Docker's Hub by the name that references have.
pub(crate) fn canonical_host(host: &str) -> String {
    let host = host.to_ascii_lowercase();
    match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io".to_owned(),
        _ => host,
    }
}

/// Returns the name under which Docker keeps what belongs to a registry, in files and in helpers.
pub(crate) fn stored_key(host: &str) -> String {
    match canonical_host(host) {
        host if host == "docker.io" => DOCKER_HUB_KEY.to_owned(),
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_programs_write_them() {
        for (text, host, path) in [
            ("quay.io", "quay.io", ""),
            ("Quay.IO", "quay.io", ""),
            ("https://quay.io", "quay.io", ""),
            ("https://quay.io/v2/", "quay.io", ""),
            ("http://localhost:5000/some/path", "localhost:5000", ""),
            ("quay.io/v1/", "quay.io", ""),
            ("quay.io/v2", "quay.io", ""),
            ("quay.io/namespace/name", "quay.io", "namespace/name"),
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("registry-1.docker.io", "docker.io", ""),
            ("docker.io/library", "docker.io", "library"),
            ("[::1]:5000", "[::1]:5000", ""),
            ("", "", ""),
        ] {
            assert_eq!(Key::parse(text), Key { host: host.into(), path: path.into() }, "{text}");
        }
    }

    #[test]
    fn a_key_covers_whole_parts_of_names() {
        for (key, repository, expected) in [
            ("quay.io", None, true),
            ("quay.io", Some("a/b"), true),
            ("quay.io/a", Some("a/b"), true),
            ("quay.io/a/b", Some("a/b"), true),
            ("quay.io/a/b", Some("a"), false),
            ("quay.io/a", Some("ab"), false),
            ("quay.io/a", None, false),
            ("quay.io.example", Some("a"), false),
        ] {
            assert_eq!(Key::parse(key).covers("quay.io", repository), expected, "{key} {repository:?}");
        }
    }

    #[test]
    fn docker_hub_is_stored_as_docker_stores_it() {
        assert_eq!(stored_key("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(stored_key("Quay.io"), "quay.io");
        assert_eq!(Key::parse(&stored_key("docker.io")).host, "docker.io");
    }

    proptest::proptest! {
        #[test]
        fn any_key_is_read(text in "\\PC{0,40}") {
            let key = Key::parse(&text);
            proptest::prop_assert!(!key.path.starts_with('/') && !key.path.ends_with('/'));
        }
    }
}

//! The environment of the process, as a value that tests can make up.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// Variables by name, and the home directory. An empty variable counts as none, as in most programs.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
}

/// The proxy variables of the environment. Their URLs may hold passwords.
#[cfg(any(feature = "distribution-client", feature = "d1-client"))]
pub(crate) struct ProxyVariables<'a> {
    pub(crate) http: Option<&'a str>,
    pub(crate) https: Option<&'a str>,
    pub(crate) except: Option<&'a str>,
}

impl Environment {
    /// Reads that of the process.
    pub(crate) fn of_process() -> Self {
        Self { variables: std::env::vars_os().collect(), home: std::env::home_dir() }
    }

    /// Returns the path that a variable holds.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.value(name).map(PathBuf::from)
    }

    /// Sets the path that a variable holds, for an option that takes its place.
    #[cfg(feature = "distribution-client")]
    pub(crate) fn set_path(&mut self, name: &str, path: &std::path::Path) {
        self.variables.insert(name.into(), path.into());
    }

    /// Returns a path below the home directory.
    pub(crate) fn below_home(&self, path: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }

    /// Returns a path below the directory for files that can be made again (XDG Base Directory Specification,
    /// "Environment variables").
    pub(crate) fn below_cache_home(&self, path: &str) -> Option<PathBuf> {
        self.below_base("XDG_CACHE_HOME", ".cache", path)
    }

    /// Returns a path below the directory for the data of programs (the same specification).
    pub(crate) fn below_data_home(&self, path: &str) -> Option<PathBuf> {
        self.below_base("XDG_DATA_HOME", ".local/share", path)
    }

    /// Returns a path below the directory for configuration files (the same specification).
    pub(crate) fn below_configuration_home(&self, path: &str) -> Option<PathBuf> {
        self.below_base("XDG_CONFIG_HOME", ".config", path)
    }

    fn below_base(&self, variable: &str, usual: &str, path: &str) -> Option<PathBuf> {
        // A relative path is to be ignored, says the specification.
        let stated = self.path(variable).filter(|stated| stated.is_absolute());
        stated.or_else(|| self.below_home(usual)).map(|directory| directory.join(path))
    }

    fn value(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns a path below the directory for the state of programs (the same specification).
    #[cfg(feature = "distribution-client")]
    pub(crate) fn below_state_home(&self, path: &str) -> Option<PathBuf> {
        self.below_base("XDG_STATE_HOME", ".local/state", path)
    }
}

#[cfg_attr(
    not(any(feature = "distribution-client", feature = "d1-client", test)),
    expect(dead_code, reason = "only registries and nodes are configured by variables")
)]
impl Environment {
    /// Returns a variable's text, if it is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.to_str()
    }

    /// Reads the variables that `curl` and others read (curl(1), "ENVIRONMENT"). `HTTP_PROXY` in capital letters is not among
    /// them: a web server sets it from what a stranger sends (CVE-2016-5385).
    #[cfg(any(feature = "distribution-client", feature = "d1-client"))]
    pub(crate) fn proxies(&self) -> ProxyVariables<'_> {
        let first = |names: &[&str]| names.iter().find_map(|name| self.text(name));
        ProxyVariables {
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: first(&["no_proxy", "NO_PROXY"]),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
impl Environment {
    /// Returns an environment with these variables, and a home directory if there is a variable `HOME`.
    pub(crate) fn made_up<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let variables: BTreeMap<OsString, OsString> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let home = variables.get(OsStr::new("HOME")).map(PathBuf::from);
        Self { variables, home }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none_and_a_relative_configuration_home_is_ignored() {
        let environment = Environment::made_up([
            ("EMPTY", ""),
            ("SET", "x"),
            ("HOME", "/h"),
            ("XDG_CONFIG_HOME", "relative"),
        ]);
        assert_eq!((environment.text("EMPTY"), environment.text("SET")), (None, Some("x")));
        assert_eq!(environment.below_configuration_home("d1oci"), Some("/h/.config/d1oci".into()));
        let environment = Environment::made_up([("XDG_CONFIG_HOME", "/c")]);
        assert_eq!(environment.below_configuration_home("d1oci"), Some("/c/d1oci".into()));
        assert_eq!(Environment::default().below_configuration_home("d1oci"), None);
    }

    #[test]
    fn no_value_is_shown() {
        let shown = format!("{:?}", Environment::made_up([("D1OCI_PASSWORD", "s3cret")]));
        assert!(shown.contains("D1OCI_PASSWORD") && !shown.contains("s3cret"), "{shown}");
    }
}

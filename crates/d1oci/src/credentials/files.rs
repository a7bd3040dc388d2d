//! The credential files that may exist, in the order of looking.

use std::path::PathBuf;

use crate::environment::Environment;

/// Returns the paths; a login goes into the first one.
pub(crate) fn credential_files(environment: &Environment) -> Vec<PathBuf> {
    let docker = environment
        .path("DOCKER_CONFIG")
        .or_else(|| environment.below_home(".docker"))
        .map(|directory| directory.join("config.json"));
    let runtime = environment.path("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json"));
    let places = [
        // A file that the user names comes first (containers-auth.json(5)).
        environment.path("REGISTRY_AUTH_FILE"),
        docker,
        runtime,
        environment.below_configuration_home("containers/auth.json"),
    ];
    places.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_decides_where_files_are() {
        for (variables, expected) in [
            (
                vec![("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")],
                vec!["/h/.docker/config.json", "/r/containers/auth.json", "/h/.config/containers/auth.json"],
            ),
            (
                vec![("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("REGISTRY_AUTH_FILE", "/a.json")],
                vec!["/a.json", "/d/config.json", "/h/.config/containers/auth.json"],
            ),
            (vec![("XDG_CONFIG_HOME", "/c")], vec!["/c/containers/auth.json"]),
            (vec![], vec![]),
        ] {
            let files = credential_files(&Environment::made_up(variables));
            assert_eq!(files, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        }
    }
}

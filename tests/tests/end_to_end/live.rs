//! Registries in the world, for those who have an account there: CONTRIBUTING.md names the variables that turn this on.

use std::time::{SystemTime, UNIX_EPOCH};

use d1oci_tests::{BagBuilder, Outcome, bare_d1oci, payload, run_with_input, skipped, tree};
use tempfile::TempDir;

/// A repository that may be written to, and a home directory with a bag.
struct Live {
    home: TempDir,
    repository: String,
    username: String,
    password: String,
}

impl Live {
    /// Returns the repository that the environment names, or reports that the test is skipped.
    fn of_environment(variable: &str) -> Option<Self> {
        let value = |suffix: &str| std::env::var(format!("{variable}{suffix}")).ok();
        let (Some(repository), Some(username), Some(password)) =
            (value(""), value("_USERNAME"), value("_PASSWORD"))
        else {
            skipped(&format!("{variable}, {variable}_USERNAME and {variable}_PASSWORD are not set"));
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        BagBuilder::new()
            .payload_files(3, 2_000)
            .file("data/one.csv", payload(now(), 300_000))
            .write(&home.path().join("bag"));
        Some(Self { home, repository, username, password })
    }

    fn d1oci(&self, arguments: &str) -> Outcome {
        let host = self.repository.split('/').next().unwrap();
        let mut command = bare_d1oci(self.home.path());
        command.env("D1OCI_REGISTRY", host);
        command.env("D1OCI_USERNAME", &self.username).env("D1OCI_PASSWORD", &self.password);
        run_with_input(command.args(arguments.split(' ')), "")
    }

    /// Pushes a bag that no one has pushed before, twice, pulls it, reads a part of it, and deletes it.
    fn push_pull_and_delete(&self) {
        let reference = format!("{}:d1oci-test-{}", self.repository, now());
        self.d1oci(&format!("push {reference} bag -a quay.expires-after=2h")).success();
        let again = self.d1oci(&format!("push {reference} bag -a quay.expires-after=2h")).success();
        assert!(again.text().starts_with("Unchanged "), "{again:?}");
        self.d1oci(&format!("pull {reference} -o out")).success();
        assert!(tree(&self.home.path().join("out/bag")) == tree(&self.home.path().join("bag")));
        self.d1oci(&format!("verify --deep {reference}")).success();
        let deleted = self.d1oci(&format!("delete {reference} --artifact"));
        if deleted.code != 0 {
            skipped(&format!("{reference} could not be deleted: {}", deleted.stderr));
            return;
        }
        self.d1oci(&format!("resolve {reference}")).failure(3);
    }
}

/// A number that no earlier test had.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn github_takes_and_gives_a_package() {
    let Some(live) = Live::of_environment("D1OCI_TEST_GHCR") else { return };
    live.push_pull_and_delete();
}

#[test]
fn quay_takes_and_gives_a_package() {
    let Some(live) = Live::of_environment("D1OCI_TEST_QUAY") else { return };
    live.push_pull_and_delete();
}

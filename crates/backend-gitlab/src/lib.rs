//! A registry backend for GitLab's container registry.
#![doc = include_str!("../README.md")]

use std::time::Duration;

use distribution_client::{Profile, ReferrersMode, Refusal, TokenSource, Verdict};
use registry_backend::{ErrorKind, Fit};

// Crates whose types are in this crate's signatures.
pub use distribution_client;

/// Returns the profile of `registry.gitlab.com` and of other hosts that run GitLab.
pub fn profile() -> Profile {
    let mut profile = Profile::generic();
    profile.name = "gitlab";
    profile.about = "GitLab's container registry: registry.gitlab.com/GROUP/PROJECT";
    profile.hosts = &["registry.gitlab.com"];
    profile.elsewhere = Fit::OnRequest;
    profile.adjust = |_, _| ();
    profile.login.hint =
        Some("the password is an access token or a deploy token with `read_registry` and `write_registry`");
    profile.login.token_sources = &[TokenSource { variable: "CI_JOB_TOKEN", username: "gitlab-ci-token" }];
    // `400 MANIFEST_INVALID: unknown media type` for any type that is not on its list (ocx-sh/ocx issue 480; moby/buildkit
    // pull request 3610).
    profile.capabilities.any_config_type = false;
    profile.capabilities.parallel_blobs = 3;
    // No referrers API (gitlab-org/container-registry issue 951).
    profile.referrers = ReferrersMode::FallbackTag;
    // It descends from Docker's registry, which checks (registry/handlers/manifests.go).
    profile.checks_manifest_content = true;
    profile.page_size = 100;
    profile.budget.requests_per_second = 10.0;
    profile.budget.requests_per_second_at_first = None;
    profile.budget.burst = 100;
    profile.commit_checks = [0, 2, 5].map(Duration::from_secs).to_vec();
    profile.classify = classify;
    profile
}

fn classify(refusal: &Refusal) -> Option<Verdict> {
    match refusal.status {
        400 if refusal.says("unknown media type") => Some(Verdict::new(ErrorKind::Unsupported).explained(
            "GitLab accepts only artifact types and configuration types from its own list: choose one with \
             `--artifact-type`",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_is_explained() {
        let body = br#"{"errors":[{"code":"MANIFEST_INVALID","message":"manifest invalid","detail":"unknown media type: a/b"}]}"#;
        let verdict = classify(&Refusal::of_body(400, body)).unwrap();
        assert_eq!(verdict.kind, ErrorKind::Unsupported);
        assert!(verdict.explanation.unwrap().contains("own list"));
        assert_eq!(classify(&Refusal::of_body(404, b"")), None);
    }
}

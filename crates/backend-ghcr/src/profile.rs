//! What is known about GitHub's container registry.

use std::time::Duration;

use distribution_client::{
    BudgetRules, MountRule, Profile, ReferrersMode, Refusal, TimeLimits, UploadStrategy, Verdict,
};
use registry_backend::{ErrorKind, Retry};

/// Returns what is known about `ghcr.io`.
pub fn profile() -> Profile {
    let mut profile = Profile::generic();
    profile.name = "ghcr";
    // "10 GB size limit for each layer" (docs.github.com, "Working with the Container registry", Troubleshooting),
    // read as decimal and with a reserve.
    profile.capabilities.max_blob_bytes = Some(9_500_000_000);
    // "10 minute timeout limit for uploads" (same page): at 10 Mbit/s these are 750 MB; tuist/tuist issue 12543 pushed
    // 58 GB in parts of 512 MiB where larger ones had timed out.
    profile.capabilities.part_bytes = Some(512 * 1024 * 1024);
    profile.capabilities.parallel_blobs = 3;
    // Anything with `Content-Range` is limited to 4 MiB (rust-oci-client issue 35, ocx-sh/ocx issue 237), so there are
    // no chunks; one PUT is what containerd and oras send, one PATCH what Docker and skopeo send.
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Patch];
    // ocync docs/registries/ghcr.md: fulfilled within an owner, else 202.
    profile.mounts = MountRule::SameOwner;
    // `GET /referrers/` answers 404 MANIFEST_UNKNOWN or a redirect to github.com (artifacthub/hub issue 4785), and no
    // answer has `OCI-Subject` (actions/attest-build-provenance issue 71).
    profile.referrers = ReferrersMode::FallbackTag;
    // `PUT` of a manifest answers `unknown blob` (infobloxopen/konk issue 626).
    profile.checks_manifest_content = true;
    // The registry deletes nothing: 405 (containers/skopeo issue 1880); see `GithubPackages`.
    profile.delete_actions = "pull,push";
    profile.page_size = 100;
    // 2000 requests a minute and principal were seen in messages (gardenlinux issue 2868): 33 a second.
    profile.budget =
        BudgetRules { requests_per_second: 20.0, burst: 100, parallel_requests: 8, parallel_uploads: 3 };
    profile.times = TimeLimits {
        // Commits of 700 MB took up to 11 seconds, large ones longer (GoogleContainerTools/jib issue 4301).
        commit: Duration::from_secs(600),
        ..profile.times
    };
    // 40 of 51 commits that had seemed to fail had landed (same issue): it pays to look more than once.
    profile.commit_checks = [0, 2, 5, 10].map(Duration::from_secs).to_vec();
    profile.classify = classify;
    profile
}

/// The first wait after GitHub's secondary limit, which takes minutes to clear (docs.github.com, "Best practices for
/// using the REST API": at least one minute, then longer from time to time).
const SECONDARY_LIMIT_WAIT: Duration = Duration::from_secs(60);

pub(crate) fn classify(refusal: &Refusal) -> Option<Verdict> {
    let denied = Verdict::new(ErrorKind::Denied);
    match refusal.status {
        403 | 429 if refusal.says("secondary rate limit") => {
            let wait = refusal.retry_after.unwrap_or_default().max(SECONDARY_LIMIT_WAIT);
            Some(Verdict::new(ErrorKind::RateLimited).with_retry(Retry::After(wait)))
        }
        403 if refusal.says("write_package") => Some(denied.explained(
            "the token may not write this package: where it comes from an action, the package's settings have to \
             give the repository the role Write under `Manage Actions access`",
        )),
        401 | 403 if refusal.has_code("DENIED") || refusal.has_code("UNAUTHORIZED") => Some(denied.explained(
            "GitHub takes classic personal access tokens with `read:packages` or `write:packages`, and the \
             GITHUB_TOKEN of an action, but neither fine-grained tokens nor those of apps",
        )),
        _ if refusal.says("last tagged version") => Some(
            Verdict::new(ErrorKind::Unsupported)
                .explained("the last tagged version cannot be deleted alone: delete the package instead"),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str, message: &str) -> Refusal {
        let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
        Refusal::of_body(status, body.as_bytes())
    }

    #[test]
    fn a_403_is_told_apart_by_its_text() {
        let limit = refusal(403, "DENIED", "You have exceeded a secondary rate limit.");
        let verdict = classify(&limit).unwrap();
        assert_eq!(
            (verdict.kind, verdict.retry),
            (ErrorKind::RateLimited, Retry::After(SECONDARY_LIMIT_WAIT))
        );
        for (message, explained) in [
            ("permission_denied: write_package", "Manage Actions access"),
            ("requested access to the resource is denied", "classic"),
        ] {
            let verdict = classify(&refusal(403, "DENIED", message)).unwrap();
            assert_eq!((verdict.kind, verdict.retry), (ErrorKind::Denied, Retry::No));
            assert!(verdict.explanation.unwrap().contains(explained));
        }
        assert_eq!(classify(&refusal(404, "MANIFEST_UNKNOWN", "")), None);
    }
}

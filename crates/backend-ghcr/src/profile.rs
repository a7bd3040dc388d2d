//! The facts about GitHub's container registry.

use std::sync::Arc;
use std::time::Duration;

use distribution_client::{
    BudgetRules, MountRule, Profile, ReferrersMode, Refusal, TimeLimits, TokenSource, UploadStrategy,
    VendorInterface, Verdict,
};
use registry_backend::{ErrorKind, Fit, Retry};

use crate::packages::GithubPackages;

/// Returns the profile of `ghcr.io` and of GitHub Enterprise servers.
pub fn profile() -> Profile {
    let mut profile = Profile::generic();
    profile.name = "ghcr";
    profile.about = "GitHub's container registry: ghcr.io/OWNER/NAME";
    profile.hosts = &["ghcr.io"];
    // A server's registry does not tell where its REST interface is: the user states it.
    profile.elsewhere = Fit::No;
    profile.adjust = |_, _| ();
    profile.login.hint = Some(
        "the password is a classic personal access token with `read:packages` or `write:packages`; GitHub accepts no \
         fine-grained tokens here",
    );
    // GitHub ignores the name (ghcr-cleanup-action src/registry.ts sends this one).
    profile.login.default_username = Some("token");
    profile.login.token_sources = &[TokenSource { variable: "GITHUB_TOKEN", username: "token" }];
    let mut vendor = VendorInterface::new(
        |host, _| (host == "ghcr.io").then(|| "https://api.github.com".to_owned()),
        |place| Ok(Arc::new(GithubPackages::new(place)?)),
    );
    vendor.deleter = Some(|place| Ok(Arc::new(GithubPackages::new(place)?)));
    vendor.repositories = Some(|place| Ok(Arc::new(GithubPackages::of_owner(place)?)));
    vendor.new_repositories_are_private = true;
    vendor.login_hint = Some(
        "GitHub's interface needs a classic personal access token with `read:packages`, and `delete:packages` for deleting",
    );
    profile.vendor = Some(vendor);
    // "10 GB size limit for each layer" (docs.github.com, "Working with the Container registry", Troubleshooting): read as
    // decimal, less a reserve.
    profile.capabilities.max_blob_bytes = Some(9_500_000_000);
    // "10 minute timeout limit for uploads" (same page): at 10 Mbit/s that is 750 MB. tuist/tuist issue 12543 pushed 58 GB in
    // parts of 512 MiB after larger ones had timed out.
    profile.capabilities.part_bytes = Some(512 * 1024 * 1024);
    profile.capabilities.parallel_blobs = 3;
    // GitHub limits every body with `Content-Range` to 4 MiB (rust-oci-client issue 35, ocx-sh/ocx issue 237): send no
    // chunks. containerd and oras send one PUT, Docker and skopeo one PATCH.
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Patch];
    // GitHub mounts within an owner and answers 202 otherwise (ocync docs/registries/ghcr.md).
    profile.mounts = MountRule::SameOwner;
    // `GET /referrers/` answers 404 MANIFEST_UNKNOWN or a redirect to github.com (artifacthub/hub issue 4785), and no
    // answer has `OCI-Subject` (actions/attest-build-provenance issue 71).
    profile.referrers = ReferrersMode::FallbackTag;
    // `PUT` of a manifest answers `unknown blob` (infobloxopen/konk issue 626).
    profile.checks_manifest_content = true;
    // The registry answers every DELETE with 405 (containers/skopeo issue 1880): `GithubPackages` deletes.
    profile.delete_actions = "pull,push";
    profile.page_size = 100;
    // Messages name 2000 requests per minute and account (gardenlinux issue 2868): 33 per second.
    profile.budget = BudgetRules {
        requests_per_second: 20.0,
        requests_per_second_at_first: None,
        burst: 100,
        parallel_requests: 8,
        parallel_uploads: 3,
    };
    profile.times = TimeLimits {
        // Commits of 700 MB took up to 11 seconds, large ones longer (GoogleContainerTools/jib issue 4301).
        commit: Duration::from_secs(600),
        ..profile.times
    };
    // 40 of 51 commits that seemed to fail had succeeded (same issue): check more than once.
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
            "the token may not write this package; for a token from an action, give the repository the role Write \
             under `Manage Actions access` in the package's settings",
        )),
        401 | 403 if refusal.has_code("DENIED") || refusal.has_code("UNAUTHORIZED") => Some(denied.explained(
            "GitHub accepts classic personal access tokens with `read:packages` or `write:packages`, and the \
             GITHUB_TOKEN of an action; it accepts no fine-grained tokens and no tokens of apps",
        )),
        _ if refusal.says("last tagged version") => Some(
            Verdict::new(ErrorKind::Unsupported)
                .explained("GitHub does not delete the last tagged version alone: delete the package instead"),
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
    fn the_text_of_a_403_tells_a_limit_from_a_refusal() {
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

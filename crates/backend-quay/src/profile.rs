//! What is known about Quay. Paths are those of quay/quay at ffba0c70e.

use std::time::Duration;

use distribution_client::{
    BudgetRules, MountRule, Profile, ReferrersMode, Refusal, TimeLimits, UploadStrategy, Verdict,
};
use registry_backend::ErrorKind;

/// Returns what is known about quay.io.
pub fn profile() -> Profile {
    let mut profile = Profile::generic();
    profile.name = "quay";
    // `MAXIMUM_LAYER_SIZE`, 20G unless the operator says otherwise (config.py:689).
    profile.capabilities.max_blob_bytes = Some(20 * 1024 * 1024 * 1024);
    // A blob that has to be sent again should be cheap to send again: an interrupted one starts over (blobuploader.py).
    profile.capabilities.part_bytes = Some(512 * 1024 * 1024);
    profile.capabilities.parallel_blobs = 3;
    // `PUSH_TEMP_TAG_EXPIRATION_SEC` (config.py:501).
    profile.capabilities.unreferenced_blob_lifetime = Some(Duration::from_secs(3600));
    // Chunks with `Content-Range` are put together wrongly on S3 (storage/cloud.py:541-554, 697-701; oras-py pull
    // request 137), so there are none.
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Patch];
    // Mounting fails without `from` (go-containerregistry pkg/v1/remote/write.go:240), which is always sent.
    profile.mounts = MountRule::AnyRepository;
    // The interface is there since 3.12, but no answer has `OCI-Subject` (distribution-spec issue 563).
    profile.referrers = ReferrersMode::ApiWithoutSubjectHeader;
    profile.checks_manifest_content = true;
    // A scope with `delete` is refused with 400 (endpoints/v2/v2auth.py:60); `push` may delete.
    profile.delete_actions = "pull,push";
    // endpoints/v2/tag.py: at most 100.
    profile.page_size = 100;
    // "A few requests per second per IP address" (access.redhat.com/solutions/6218921).
    profile.budget =
        BudgetRules { requests_per_second: 3.0, burst: 30, parallel_requests: 4, parallel_uploads: 3 };
    // nginx waits 2000 seconds for the application (conf/nginx/server-base.conf.jnj:204); a commit copies the blob.
    profile.times = TimeLimits { commit: Duration::from_secs(2000), ..profile.times };
    profile.commit_checks = [0, 2, 5].map(Duration::from_secs).to_vec();
    profile.classify = classify;
    profile
}

/// Returns what is known about a Quay at this host: one of one's own is not limited as quay.io is.
pub fn profile_at(host: &str) -> Profile {
    let mut profile = profile();
    if host != "quay.io" {
        // `FEATURE_RATE_LIMITS` allows 50 blob requests per second where it is on (conf/nginx/rate-limiting.conf.jnj).
        profile.budget.requests_per_second = 40.0;
        profile.budget.burst = 200;
    }
    profile
}

fn classify(refusal: &Refusal) -> Option<Verdict> {
    let denied = Verdict::new(ErrorKind::Denied);
    match refusal.status {
        _ if refusal.says("rate limit") => None,
        // endpoints/v2/blob.py:278.
        403 if refusal.says("quota") => Some(denied.explained("the namespace is full")),
        // A token is given whatever is asked for, with less in it (endpoints/v2/v2auth.py); the refusal comes here.
        401 | 403 => Some(denied.explained(
            "the account may not do this here: a robot account needs the role Write on the repository, and Creator \
             in the organization to make a new one",
        )),
        405 if ["readonly", "read-only", "disabled"].iter().any(|word| refusal.says(word)) => {
            Some(denied.explained("the registry takes no pushes now"))
        }
        // With `FEATURE_IMMUTABLE_TAGS`.
        409 if refusal.has_code("TAG_IMMUTABLE") => {
            Some(Verdict::new(ErrorKind::Conflict).explained("the tag is immutable"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_explained() {
        for (status, code, message, kind, explained) in [
            (403, "DENIED", "Quota has been exceeded on namespace", ErrorKind::Denied, "full"),
            (
                401,
                "UNAUTHORIZED",
                "access to the requested resource is not authorized",
                ErrorKind::Denied,
                "robot",
            ),
            (405, "DENIED", "repository is_readonly", ErrorKind::Denied, "no pushes"),
            (409, "TAG_IMMUTABLE", "tag is immutable", ErrorKind::Conflict, "immutable"),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
            let verdict = classify(&Refusal::of_body(status, body.as_bytes())).unwrap();
            assert_eq!(verdict.kind, kind, "{message}");
            assert!(verdict.explanation.unwrap().contains(explained), "{message}");
        }
        assert_eq!(classify(&Refusal::of_body(404, b"")), None);
    }
}

//! The facts about Quay. Paths are those of quay/quay at ffba0c70e.

use std::sync::Arc;
use std::time::Duration;

use distribution_client::{
    BudgetRules, MountRule, Profile, ReferrersMode, Refusal, TimeLimits, UploadStrategy, VendorInterface,
    Verdict,
};
use registry_backend::{ErrorKind, Fit, Retry};

use crate::api::QuayApi;

/// Returns the profile of quay.io and of other hosts that run Quay.
pub fn profile() -> Profile {
    let mut profile = Profile::generic();
    profile.name = "quay";
    profile.about = "quay.io, and other hosts that run Quay";
    profile.hosts = &["quay.io"];
    profile.elsewhere = Fit::OnRequest;
    profile.adjust = |profile, host| {
        if host != "quay.io" {
            // A server of one's own has other limits than quay.io: `FEATURE_RATE_LIMITS`, where it is on, allows 50 blob
            // requests per second (conf/nginx/rate-limiting.conf.jnj).
            profile.budget.requests_per_second = 40.0;
            profile.budget.burst = 200;
        }
    };
    profile.login.hint = Some(
        "the name of a robot account begins with its namespace, `namespace+robot`; its password is its token",
    );
    let mut vendor = VendorInterface::new(
        |host, options| {
            let scheme = if options.speaks_plainly_to(host) { "http" } else { "https" };
            Some(format!("{scheme}://{host}/api/v1"))
        },
        |place| Ok(Arc::new(QuayApi::new(place)?)),
    );
    vendor.lister = Some(|place| Ok(Arc::new(QuayApi::new(place)?)));
    vendor.repositories = Some(|place| Ok(Arc::new(QuayApi::new(place)?)));
    // `CREATE_PRIVATE_REPO_ON_PUSH` (config.py:895).
    vendor.new_repositories_are_private = true;
    vendor.login_hint = Some(
        "Quay's interface needs the token of an OAuth application, as the password of the user `$oauthtoken`; a robot \
         account only pushes and pulls",
    );
    profile.vendor = Some(vendor);
    // `MAXIMUM_LAYER_SIZE`, 20G unless the operator says otherwise (config.py:689).
    profile.capabilities.max_blob_bytes = Some(20 * 1024 * 1024 * 1024);
    // An interrupted upload starts over (blobuploader.py): keep blobs small enough to send again.
    profile.capabilities.part_bytes = Some(512 * 1024 * 1024);
    profile.capabilities.parallel_blobs = 3;
    // nginx's default, since no location for manifests sets `client_max_body_size` (conf/nginx/server-base.conf.jnj).
    profile.capabilities.max_manifest_bytes = 1024 * 1024;
    // `PUSH_TEMP_TAG_EXPIRATION_SEC` (config.py:501).
    profile.capabilities.unreferenced_blob_lifetime = Some(Duration::from_secs(3600));
    // A manifest that is stored by digest gets a hidden tag that ends after an hour (endpoints/v2/manifest.py:354), and a
    // manifest whose tag moves is 404 at once (data/model/oci/manifest.py:133).
    profile.capabilities.untagged_manifest_lifetime = Some(Duration::from_secs(3600));
    profile.capabilities.keeps_moved_digests = false;
    // A manifest with a subject has a hidden tag without an end (endpoints/v2/manifest.py:447).
    profile.capabilities.deletes_referrers = false;
    // Quay assembles chunks with `Content-Range` wrongly on S3 (storage/cloud.py:541-554, 697-701; oras-py pull request
    // 137), and chunks without it on a local disk (storage/local.py:98): send none.
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Patch];
    profile.takes_chunks = false;
    // Mounting fails without `from` (go-containerregistry pkg/v1/remote/write.go:240), which the client always sends.
    profile.mounts = MountRule::AnyRepository;
    // A blob that no manifest names stays for an hour since the last upload or mount; HEAD does not renew it.
    profile.mounts_from_itself = true;
    // Quay has the referrers API since 3.12, but no answer has `OCI-Subject` (distribution-spec issue 563).
    profile.referrers = ReferrersMode::ApiWithoutSubjectHeader;
    profile.checks_manifest_content = true;
    // A scope with `delete` is refused with 400 (endpoints/v2/v2auth.py:60); `push` may delete.
    profile.delete_actions = "pull,push";
    // endpoints/v2/tag.py: at most 100.
    profile.page_size = 100;
    // "A few requests per second per IP address" (access.redhat.com/solutions/6218921).
    profile.budget = BudgetRules {
        requests_per_second: 3.0,
        requests_per_second_at_first: None,
        burst: 30,
        parallel_requests: 4,
        parallel_uploads: 3,
    };
    // nginx waits 2000 seconds for the application (conf/nginx/server-base.conf.jnj:204); a commit copies the blob.
    profile.times = TimeLimits { commit: Duration::from_secs(2000), ..profile.times };
    profile.commit_checks = [0, 2, 5].map(Duration::from_secs).to_vec();
    profile.classify = classify;
    profile
}

fn classify(refusal: &Refusal) -> Option<Verdict> {
    let denied = Verdict::new(ErrorKind::Denied);
    match refusal.status {
        _ if refusal.says("rate limit") => None,
        // endpoints/v2/blob.py:278.
        403 if refusal.says("quota") => Some(denied.explained("the namespace is full")),
        // Quay grants every token, with fewer rights than requested (endpoints/v2/v2auth.py), and refuses here. An absent
        // repository and a private one look the same.
        401 | 403 => Some(denied.explained(
            "the repository does not exist, or the account lacks the right: a robot account needs the role Read or Write \
             on the repository, and Creator in the organization to create a repository",
        )),
        // The client sends nothing above the limits. nginx also answers 413 to a large body when the application is
        // down (conf/nginx/server-base.conf.jnj:389).
        413 if refusal.is_html => Some(Verdict::new(ErrorKind::Unavailable).with_retry(Retry::Yes).explained(
            "Quay's proxy says this when the application behind it is down, or if the operator has lowered the limits",
        )),
        405 if ["readonly", "read-only", "disabled"].iter().any(|word| refusal.says(word)) => {
            Some(denied.explained("the registry accepts no pushes now"))
        }
        // With `FEATURE_IMMUTABLE_TAGS`.
        409 if refusal.has_code("TAG_IMMUTABLE") => {
            Some(denied.explained("the tag is immutable"))
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
            (405, "DENIED", "repository is_readonly", ErrorKind::Denied, "accepts no pushes"),
            (409, "TAG_IMMUTABLE", "tag is immutable", ErrorKind::Denied, "immutable"),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"}}]}}"#);
            let verdict = classify(&Refusal::of_body(status, body.as_bytes())).unwrap();
            assert_eq!(verdict.kind, kind, "{message}");
            assert!(verdict.explanation.unwrap().contains(explained), "{message}");
        }
        assert_eq!(classify(&Refusal::of_body(404, b"")), None);
        let outage =
            classify(&Refusal::of_body(413, b"<html><head><title>413</title></head></html>")).unwrap();
        assert_eq!((outage.kind, outage.retry), (ErrorKind::Unavailable, Retry::Yes));
    }

    #[test]
    fn only_quay_io_gets_as_few_requests_as_it_wants() {
        let rate = |host| profile().at(host).budget.requests_per_second;
        assert!(rate("quay.io") < rate("quay.example"));
    }
}

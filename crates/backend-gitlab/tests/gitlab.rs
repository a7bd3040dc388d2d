//! The conformance suite on a registry that behaves as GitLab's.

use std::sync::Arc;
use std::time::Duration;

use backend_gitlab::profile;
use distribution_client::{Profile, Registries, RegistryFactory};
use oci_model::{Location, MediaType, Reference};
use registry_backend::{Access, BackendFactory as _, Fit, OpenOptions};
use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need, run_suite};
use registry_conformance::scripted::{Config, Preset, ScriptedRegistry};

fn fast() -> Profile {
    let mut profile = profile();
    profile.retry.first_wait = Duration::from_millis(1);
    profile.commit_checks = vec![Duration::ZERO];
    profile.budget.requests_per_second = 10_000.0;
    profile
}

#[tokio::test(flavor = "multi_thread")]
async fn the_backend_conforms_on_a_registry_like_gitlabs() {
    let lacks = [Need::Sha512, Need::BlobLimit, Need::Pruner, Need::SecondValue];
    let report = run_suite(|| async {
        let config = Config::new(Preset::Old).with_behaviour(|behaviour| {
            // The last one, which the suite uses, stands for a type that GitLab knows.
            let known = [
                MediaType::EMPTY,
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.example.config+json",
            ];
            behaviour.manifests.config_types = Some(known.map(str::to_owned).to_vec());
        });
        let registry = ScriptedRegistry::start(config).await.unwrap();
        let factory = RegistryFactory::new(Arc::new(Registries::default()), fast());
        let location = Location::Registry {
            host: registry.host().to_owned(),
            repository: "group/project/name".parse().unwrap(),
        };
        let opened = factory.open(&location, &OpenOptions::new(Access::Create)).await.unwrap();
        EmptyRepository::shared(Arc::from(opened)).lacking(&lacks).keeping(registry)
    })
    .await;
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.skipped_names(), checks_that_need(&lacks), "{report}");
}

#[test]
fn gitlab_is_served_and_others_on_request() {
    let factory = RegistryFactory::new(Arc::default(), profile());
    for (text, fit) in [
        ("registry.gitlab.com/group/project", Fit::Exact),
        ("gitlab.example:5050/group/project", Fit::OnRequest),
        ("oci:packages", Fit::No),
    ] {
        let location = text.parse::<Reference>().unwrap().location;
        assert_eq!(factory.fit(&location), fit, "{text}");
    }
}

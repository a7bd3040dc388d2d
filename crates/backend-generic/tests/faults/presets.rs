//! The conformance suite on the scripted registry, as the one of the specification and as one of old.

use registry_conformance::conformance::{EmptyRepository, Need, checks_that_need, run_suite};
use registry_conformance::scripted::{Config, Preset};

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_follows_the_specification_conforms() {
    conforms(Preset::Strict, &[Need::BlobLimit, Need::Pruner]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_of_old_conforms_but_for_sha512() {
    conforms(Preset::Old, &[Need::Sha512, Need::BlobLimit, Need::Pruner]).await;
}

async fn conforms(preset: Preset, lacks: &[Need]) {
    let report = run_suite(|| async {
        let Rig { registry, repository } = Rig::start(Config::new(preset)).await;
        EmptyRepository::new(repository.clone()).with_second(repository).lacking(lacks).keeping(registry)
    })
    .await;
    assert!(report.failed.is_empty(), "{report}");
    assert_eq!(report.skipped_names(), checks_that_need(lacks), "{report}");
}

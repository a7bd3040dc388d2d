//! A network in which nothing lasts: everything at once, at a hundredth of the size that people meet.
//!
//! At this size a chunk that is refused has been sent whole before the refusal is read, and a tenth of all is refused: that
//! is what the bound of 1.4 times the bytes allows for. At full size, 2 GiB cut every 100 MiB, 1.06 times the bytes were sent.

use std::time::Duration;

use distribution_client::{
    ClientOptions, Credential, FixedCredential, Registry, Secret, Segments, UploadStrategy,
};
use futures::TryStreamExt;
use registry_backend::{Access, BlobSource as _, WriteHint, verified};
use registry_conformance::scripted::{
    Action, Answer, Auth, BearerAuth, Config, Fault, Preset, ScriptedRegistry, User, When,
};
use registry_conformance::{CutAfter, CuttingProxy, PseudoRandomSource};

use crate::rig::{MIB, profile};

const SIZE: u64 = 20 * MIB;

const BYTES_BETWEEN_CUTS: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_ends_right_and_moves_little_more_than_it_has_to() {
    let auth = BearerAuth::new(vec![User::new("alice", "s3cret")]).with_lifetime(Duration::from_millis(200));
    let refused = Fault::anywhere(When::Every(10), Action::Answer(Answer::html(503)));
    let config = Config::new(Preset::Strict).with_auth(Auth::Bearer(auth)).with_fault(refused);
    let registry = ScriptedRegistry::start(config).await.unwrap();
    let cut = CutAfter::AllConnections(BYTES_BETWEEN_CUTS);
    let proxy = CuttingProxy::start(registry.host(), cut).await.unwrap();

    let mut profile = profile();
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB / 100 }];
    profile.segments = Some(Segments { from_bytes: MIB, bytes: 4 * MIB / 100, parallel: 3 });
    let credential = Credential::Password { username: "alice".to_owned(), password: Secret::new("s3cret") };
    let options = ClientOptions::default().with_credentials(FixedCredential::new(proxy.host(), credential));
    let client = Registry::new(proxy.host(), profile, &options).unwrap();
    let repository = client.repository("owner/name".parse().unwrap(), Access::Create);

    let source = PseudoRandomSource::new(1, SIZE);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    let pushed = proxy.take_passed();
    assert!(proxy.take_cuts() > 10);
    assert!(pushed < SIZE * 14 / 10, "{pushed} bytes passed for {SIZE}");

    let read = repository.read_blob(source.digest(), None).await.unwrap();
    let mut stream = verified(read, source.digest()).unwrap();
    while stream.try_next().await.unwrap().is_some() {}
    let pulled = proxy.take_passed();
    assert!(proxy.take_cuts() > 10);
    assert!(pulled < SIZE * 14 / 10, "{pulled} bytes passed for {SIZE}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_connections_break_after_so_many_bytes_none_has_that_many() {
    // A registry that forgets an upload when it is cut: one cut chunk would be the end of it.
    let registry = ScriptedRegistry::start(Config::new(Preset::Old)).await.unwrap();
    let cut = CutAfter::EachConnection(BYTES_BETWEEN_CUTS);
    let proxy = CuttingProxy::start(registry.host(), cut).await.unwrap();
    let mut profile = profile();
    profile.uploads = vec![UploadStrategy::Put, UploadStrategy::Chunks { bytes: 16 * MIB / 100 }];
    let client = Registry::new(proxy.host(), profile, &ClientOptions::default()).unwrap();
    let repository = client.repository("owner/name".parse().unwrap(), Access::Create);
    let source = PseudoRandomSource::new(1, SIZE);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    assert!(proxy.take_cuts() <= 2);
}

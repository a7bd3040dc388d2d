//! Who is asking: tokens that expire, are refused, or allow too little.

use std::time::Duration;

use distribution_client::{ClientOptions, Credential, Secret};
use registry_backend::{Access, BlobSource as _, ErrorKind, WriteHint, Written};
use registry_conformance::PseudoRandomSource;
use registry_conformance::scripted::{
    Action, Answer, Auth, BearerAuth, Config, Credentials, Fault, Preset, Route, User, When,
};

use crate::rig::{MIB, NAME, Rig, digest, profile};

fn alice() -> User {
    User::new("alice", "s3cret")
}

#[tokio::test]
async fn one_token_serves_a_whole_push() {
    for preset in Preset::ALL {
        let rig =
            Rig::with_login(Config::new(preset).with_auth(Auth::bearer(vec![alice()])), "alice", "s3cret")
                .await;
        rig.push(MIB).await;
        rig.push(2 * MIB).await;
        assert_eq!(rig.registry.count(Route::Token), 1, "{preset}");
        assert_eq!(rig.registry.requests().iter().filter(|request| request.status == Some(401)).count(), 1);
    }
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
    let config =
        config.with_fault(Fault::new(Route::Token, When::Always, Action::Delay(Duration::from_millis(50))));
    let rig = Rig::with_login(config, "alice", "s3cret").await;
    let digest = rig.seed(1000);
    let reads = (0..16).map(|_| rig.pull(&digest));
    futures::future::try_join_all(reads).await.unwrap();
    assert_eq!(rig.registry.count(Route::Token), 1);
}

#[tokio::test]
async fn tokens_that_hold_for_few_requests_are_renewed() {
    for uses in [1, 2, 3] {
        let auth = Auth::Bearer(BearerAuth::new(vec![alice()]).with_uses(uses));
        let mut profile = profile();
        profile.uploads = vec![distribution_client::UploadStrategy::Chunks { bytes: 100_000 }];
        let rig = Rig::with_options(Config::new(Preset::Strict).with_auth(auth), profile, login).await;
        let source = rig.push(MIB).await;
        rig.pull(digest(&source)).await.unwrap();
        assert!(rig.registry.count(Route::Token) >= 5, "{uses}");
    }
}

fn login(host: &str) -> ClientOptions {
    let password = Secret::new("s3cret");
    let credential = Credential::Password { username: "alice".to_owned(), password };
    ClientOptions::default().with_credentials(distribution_client::FixedCredential::new(host, credential))
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_renewed() {
    let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
    let rig = Rig::with_login(config, "alice", "s3cret").await;
    rig.push(1000).await;
    rig.registry.expire_tokens();
    rig.push(2000).await;
    assert_eq!(rig.registry.count(Route::Token), 2);
}

#[tokio::test]
async fn a_refusal_in_the_middle_is_answered_with_a_new_token() {
    use Route::{BlobGet, BlobHead, UploadCommit, UploadPatch, UploadStart};
    let mut chunks = profile();
    chunks.uploads = vec![distribution_client::UploadStrategy::Chunks { bytes: 100_000 }];
    for (route, profile) in [
        (BlobHead, profile()),
        (UploadStart, profile()),
        (UploadCommit, profile()),
        (UploadPatch, chunks),
        (BlobGet, profile()),
    ] {
        let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
        let config = config.with_fault(Fault::new(route, When::Nth(1), Action::Unauthorized));
        let rig = Rig::with_options(config, profile, login).await;
        let source = rig.push(MIB).await;
        rig.pull(digest(&source)).await.unwrap();
        assert_eq!(rig.registry.count(Route::Token), 2, "{route}");
    }
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
    let rig = Rig::with_login(config, "alice", "s3cret").await;
    let refresh = refresh_token(&rig).await;
    let client = distribution_client::Registry::new(
        rig.registry.host(),
        profile(),
        &ClientOptions::default().with_credentials(distribution_client::FixedCredential::new(
            rig.registry.host(),
            Credential::IdentityToken(Secret::new(refresh)),
        )),
    )
    .unwrap();
    rig.registry.forget_requests();
    let repository = client.repository(NAME.parse().unwrap(), Access::Create);
    let source = PseudoRandomSource::new(1, 10);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    let requests = rig.registry.requests();
    let asked: Vec<_> = requests.iter().filter(|request| request.route == Route::Token).collect();
    assert_eq!(asked.iter().map(|request| request.method.as_str()).collect::<Vec<_>>(), ["POST"]);
    assert_eq!(asked[0].credentials, Credentials::None);
}

/// Gets a refresh token as a login with another program would.
async fn refresh_token(rig: &Rig) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let form =
        "grant_type=password&service=x&client_id=test&access_type=offline&username=alice&password=s3cret";
    let mut stream = tokio::net::TcpStream::connect(rig.registry.host()).await.unwrap();
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{form}",
        rig.registry.host(),
        form.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let json = &answer[answer.find('{').unwrap()..=answer.rfind('}').unwrap()];
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    value["refresh_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_mount_asks_for_both_repositories() {
    let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
    let rig = Rig::with_login(config, "alice", "s3cret").await;
    let source = PseudoRandomSource::new(3, 1000);
    rig.registry.put_blob("owner/other", &registry_conformance::pseudo_random(3, 1000)).unwrap();
    let hint = WriteHint::default().with_mount_from("owner/other".parse().unwrap());
    assert_eq!(rig.repository.write_blob(&source, &hint).await.unwrap(), Written::Mounted);
    let requests = rig.registry.requests();
    let scopes = |uri: &str| uri.matches("scope=").count();
    assert!(requests.iter().any(|request| request.route == Route::Token && scopes(&request.uri) == 2));
}

#[tokio::test]
async fn who_may_not_is_told_so_soon() {
    let readers = vec![User::reader("bob", "s3cret")];
    for (preset, auth) in [
        (Preset::Strict, Auth::bearer(readers.clone())),
        (Preset::Ghcr, Auth::bearer(readers.clone())),
        (Preset::Quay, Auth::bearer(readers.clone())),
        (Preset::Strict, Auth::Basic(readers)),
    ] {
        let rig = Rig::with_login(Config::new(preset).with_auth(auth), "bob", "s3cret").await;
        let source = PseudoRandomSource::new(1, 10);
        let error = rig.repository.write_blob(&source, &WriteHint::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{preset}: {error}");
        assert!(rig.registry.requests().len() < 15, "{preset}: {} requests", rig.registry.requests().len());
        assert_eq!(rig.registry.blob_size(NAME, source.digest()), None);
    }
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_not_shown() {
    for (auth, password) in
        [(Auth::bearer(vec![alice()]), "wr0ng-passw0rd"), (Auth::Basic(vec![alice()]), "wr0ng-passw0rd")]
    {
        let rig = Rig::with_login(Config::new(Preset::Strict).with_auth(auth), "alice", password).await;
        for error in [
            rig.repository.registry().check_login().await.unwrap_err(),
            rig.backend().stat_blob(&oci_model::Digest::sha256_of(b"")).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(!format!("{error:?}{error}").contains(password));
        }
    }
}

#[tokio::test]
async fn a_login_is_checked() {
    for preset in Preset::ALL {
        for auth in [Auth::None, Auth::Basic(vec![alice()]), Auth::bearer(vec![alice()])] {
            let rig = Rig::with_login(Config::new(preset).with_auth(auth), "alice", "s3cret").await;
            rig.repository.registry().check_login().await.unwrap();
        }
    }
}

#[tokio::test]
async fn public_content_needs_no_login() {
    let auth = Auth::Bearer(BearerAuth::new(vec![alice()]).with_anonymous_pull());
    for preset in [Preset::Strict, Preset::Ghcr, Preset::Quay] {
        let rig = Rig::start(Config::new(preset).with_auth(auth.clone())).await;
        let reader = rig.repository.registry().repository(NAME.parse().unwrap(), Access::Read);
        let digest = rig.seed(1000);
        assert_eq!(reader.stat_blob(&digest).await.unwrap(), Some(1000), "{preset}");
    }
}

#[tokio::test]
async fn a_token_server_that_stumbles_is_asked_again() {
    for action in [Action::Answer(Answer::html(503)), Action::DropAfterwards, Action::CutAnswer { after: 3 }]
    {
        let config = Config::new(Preset::Strict).with_auth(Auth::bearer(vec![alice()]));
        let config = config.with_fault(Fault::new(Route::Token, When::Nth(1), action));
        let rig = Rig::with_login(config, "alice", "s3cret").await;
        rig.push(10).await;
        assert_eq!(rig.registry.count(Route::Token), 2);
    }
}

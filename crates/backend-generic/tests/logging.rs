//! The log shows no secret. This test has its own process, because subscribers of other tests would change the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use distribution_client::{ClientOptions, Credential, FixedCredential, Profile, Registry, Secret};
use futures::TryStreamExt;
use registry_backend::{Access, BlobSource as _, WriteHint};
use registry_conformance::PseudoRandomSource;
use registry_conformance::scripted::{Auth, Config, Credentials, Preset, Route, ScriptedRegistry, User};

#[tokio::test]
async fn no_secret_is_logged() {
    let logged = Log::default();
    let writer = {
        let logged = logged.clone();
        move || logged.clone()
    };
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(writer).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let registry = push_and_pull().await;
    let text = String::from_utf8(logged.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("PUT") && text.contains("/storage/"), "{text}");
    // The second is the name and password as Basic authentication carries them.
    let mut secrets = vec!["s3cret".to_owned(), "YWxpY2U6czNjcmV0".to_owned()];
    for request in registry.requests() {
        if let Credentials::Bearer { token } = &request.credentials {
            secrets.push(token.clone());
        }
        if request.route == Route::Storage {
            secrets.extend(request.uri.split_once('?').map(|(_, query)| query.to_owned()));
        }
    }
    assert!(secrets.len() > 3);
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret} is in the log");
    }
}

async fn push_and_pull() -> ScriptedRegistry {
    let auth = Auth::bearer(vec![User::new("alice", "s3cret")]);
    let registry = ScriptedRegistry::start(Config::new(Preset::Ghcr).with_auth(auth)).await.unwrap();
    let credential = Credential::Password { username: "alice".to_owned(), password: Secret::new("s3cret") };
    let options =
        ClientOptions::default().with_credentials(FixedCredential::new(registry.host(), credential));
    let client = Registry::new(registry.host(), Profile::generic().at(registry.host()), &options).unwrap();
    let repository = client.repository("owner/name".parse().unwrap(), Access::Create);
    let source = PseudoRandomSource::new(1, 1000);
    repository.write_blob(&source, &WriteHint::default()).await.unwrap();
    let mut stream = repository.read_blob(source.digest(), None).await.unwrap().stream;
    while stream.try_next().await.unwrap().is_some() {}
    registry
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

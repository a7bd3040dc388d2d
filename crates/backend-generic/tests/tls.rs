//! Whom the client trusts, how it is known, and through which proxies it goes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Version;
use axum::response::{IntoResponse, Redirect, Response};
use distribution_client::{ClientCertificate, ClientOptions, Profile, Proxies, Registry, Scheme, Secret};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use registry_backend::{ErrorKind, Retry};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority, and a certificate and key that it signed.
struct Identity {
    authority: CertificateDer<'static>,
    authority_pem: String,
    chain_pem: String,
    key_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    fn new(name: &str) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let signed_authority = authority.self_signed(&authority_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority, &authority_key);
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Self {
            authority: signed_authority.der().clone(),
            authority_pem: signed_authority.pem(),
            chain_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}

impl Identity {
    /// Makes a certificate that is its own authority.
    fn of_itself(name: &str, end: Option<(i32, u8, u8)>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if let Some((year, month, day)) = end {
            parameters.not_after = rcgen::date_time_ymd(year, month, day);
        }
        let signed = parameters.self_signed(&key).unwrap();
        Self {
            authority: signed.der().clone(),
            authority_pem: signed.pem(),
            chain_pem: signed.pem(),
            key_pem: key.serialize_pem(),
            certificate: signed.der().clone(),
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        }
    }
}

/// The connections and certificates that the server has seen.
#[derive(Clone, Default)]
struct Seen {
    connections: Arc<AtomicUsize>,
    version: Arc<std::sync::Mutex<Option<Version>>>,
    /// Where every request is sent on to.
    leads_to: Arc<std::sync::Mutex<Option<String>>>,
}

/// Starts a registry with TLS that has only `/v2/`.
async fn start(server: &Identity, clients: Option<&Identity>, protocols: &[&[u8]]) -> (SocketAddr, Seen) {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.authority.clone()).unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config =
        builder.with_single_cert(vec![server.certificate.clone()], server.key.clone_key()).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let router = Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), router, seen.clone()));
    (address, seen)
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, router: Router, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::Relaxed);
        let (acceptor, router) = (acceptor.clone(), router.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = TowerToHyperService::new(router);
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(State(seen): State<Seen>, request: Request) -> Response {
    *seen.version.lock().unwrap() = Some(request.version());
    match &*seen.leads_to.lock().unwrap() {
        Some(place) => Redirect::temporary(place).into_response(),
        None => request.uri().to_string().into_response(),
    }
}

fn connect(host: &str, options: &ClientOptions) -> Registry {
    let mut profile = Profile::generic();
    profile.retry.attempts = 6;
    profile.retry.first_wait = Duration::from_millis(1);
    Registry::new(host, profile, options).unwrap()
}

fn secure() -> ClientOptions {
    ClientOptions::default().with_scheme(Scheme::Https)
}

#[tokio::test]
async fn a_further_authority_is_trusted_and_no_unknown_one() {
    let server = Identity::new("localhost");
    let (address, seen) = start(&server, None, &[b"http/1.1"]).await;
    let host = format!("localhost:{}", address.port());
    let error = connect(&host, &secure()).check_login().await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Unavailable, Retry::No), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert_eq!(seen.connections.load(Ordering::Relaxed), 1, "it is not tried again");
    let mut options = secure();
    options.extra_authorities = vec![server.authority_pem.into_bytes()];
    connect(&host, &options).check_login().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_trusted_where_it_is_named() {
    let (server, other) = (Identity::of_itself("localhost", None), Identity::of_itself("localhost", None));
    let wrong_name = Identity::of_itself("other.example", None);
    let expired = Identity::of_itself("localhost", Some((2020, 1, 1)));
    for (server, trusted, is_accepted) in [
        (&server, &server, true),
        (&server, &other, false),
        (&wrong_name, &wrong_name, false),
        (&expired, &expired, false),
    ] {
        let (address, _) = start(server, None, &[b"http/1.1"]).await;
        let mut options = secure();
        options.extra_authorities = vec![trusted.authority_pem.clone().into_bytes()];
        let checked = connect(&format!("localhost:{}", address.port()), &options).check_login().await;
        assert_eq!(checked.is_ok(), is_accepted, "{checked:?}");
    }
}

#[tokio::test]
async fn both_versions_of_http_are_spoken() {
    for (protocols, expected) in [
        (&[b"h2".as_slice(), b"http/1.1"][..], Version::HTTP_2),
        (&[b"http/1.1".as_slice()][..], Version::HTTP_11),
    ] {
        let server = Identity::new("localhost");
        let (address, seen) = start(&server, None, protocols).await;
        let mut options = secure();
        options.extra_authorities = vec![server.authority_pem.into_bytes()];
        connect(&format!("localhost:{}", address.port()), &options).check_login().await.unwrap();
        assert_eq!(*seen.version.lock().unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    let (server, client) = (Identity::new("localhost"), Identity::new("alice"));
    let (address, _) = start(&server, Some(&client), &[b"http/1.1"]).await;
    let host = format!("localhost:{}", address.port());
    let mut options = secure();
    options.extra_authorities = vec![server.authority_pem.into_bytes()];
    assert!(connect(&host, &options).check_login().await.is_err());
    options.client_certificate =
        Some(ClientCertificate { chain: client.chain_pem.into_bytes(), key: Secret::new(client.key_pem) });
    connect(&host, &options).check_login().await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_nobody_but_the_registry() {
    let (server, client) = (Identity::new("localhost"), Identity::new("alice"));
    let (registry, seen) = start(&server, Some(&client), &[b"http/1.1"]).await;
    let host = format!("localhost:{}", registry.port());
    let mut options = secure();
    options.extra_authorities = vec![server.authority_pem.clone().into_bytes()];
    options.client_certificate = Some(ClientCertificate {
        chain: client.chain_pem.clone().into_bytes(),
        key: Secret::new(client.key_pem.as_str()),
    });
    for (asks_for_a_certificate, is_reached) in [(false, true), (true, false)] {
        let wanted = asks_for_a_certificate.then_some(&client);
        let (elsewhere, _) = start(&server, wanted, &[b"http/1.1"]).await;
        *seen.leads_to.lock().unwrap() = Some(format!("https://localhost:{}/v2/", elsewhere.port()));
        let checked = connect(&host, &options).check_login().await;
        assert_eq!(checked.is_ok(), is_reached, "{checked:?}");
    }
}

#[test]
fn what_is_no_certificate_is_refused_with_a_reason() {
    let mut options = secure();
    options.extra_authorities = vec![b"no certificate".to_vec()];
    let error = Registry::new("registry.example", Profile::generic(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("authority"), "{error}");
}

#[tokio::test]
async fn a_proxy_is_used_but_for_exceptions() {
    // To a proxy, a request without TLS names the whole URL.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(|request: Request| async move {
        assert_eq!(request.uri().to_string(), "http://registry.example/v2/");
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut options = ClientOptions::default().with_scheme(Scheme::Http);
    options.proxies = Proxies { http: Some(Secret::new(proxy)), https: None, except: None };
    connect("registry.example", &options).check_login().await.unwrap();
    options.proxies.except = Some("127.0.0.1,.example".to_owned());
    let mut profile = Profile::generic();
    profile.retry.attempts = 1;
    let around = Registry::new("registry.example", profile, &options).unwrap();
    assert_eq!(around.check_login().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[test]
fn what_is_no_host_is_refused() {
    for host in ["", "a b", "user@registry.example", "registry.example/x", "registry.example?x", "[::1"] {
        let error = Registry::new(host, Profile::generic(), &ClientOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{host}");
    }
}

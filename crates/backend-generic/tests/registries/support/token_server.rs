//! A token server as Docker's registry trusts one: tokens for who shows the right password, and for a few seconds.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

/// A running token server; it ends with the runtime.
pub(crate) struct TokenServer {
    pub(crate) realm: String,
    pub(crate) certificate_pem: String,
    issued: Arc<AtomicU64>,
}

struct Signer {
    key: EcdsaKeyPair,
    certificate: String,
    authorization: String,
    issued: Arc<AtomicU64>,
}

/// How long a token holds, in seconds.
const LIFETIME: u64 = 5;

impl TokenServer {
    /// Starts one that knows this user.
    pub(crate) async fn start(username: &str, password: &str) -> Self {
        let pair = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["example".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let random = SystemRandom::new();
        let issued = Arc::new(AtomicU64::new(0));
        let signer = Signer {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der(), &random)
                .unwrap(),
            certificate: STANDARD.encode(certificate.der()),
            authorization: format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))),
            issued: issued.clone(),
        };
        let router = Router::new().route("/token", get(token)).with_state(Arc::new(signer));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { realm, certificate_pem: certificate.pem(), issued }
    }

    /// Returns how many tokens it has given.
    pub(crate) fn issued(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }
}

async fn token(
    State(signer): State<Arc<Signer>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if shown != Some(&signer.authorization) {
        return (StatusCode::UNAUTHORIZED, json!({"details": "wrong password"}).to_string());
    }
    signer.issued.fetch_add(1, Ordering::Relaxed);
    let query = query.unwrap_or_default().replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
    let access: Vec<Value> = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope="))
        .filter_map(|scope| {
            let (resource, actions) = scope.rsplit_once(':')?;
            let (kind, name) = resource.split_once(':')?;
            let actions: Vec<&str> = actions.split(',').collect();
            Some(json!({"type": kind, "name": name, "actions": actions}))
        })
        .collect();
    let token = signer.sign(&access);
    (StatusCode::OK, json!({"token": token, "expires_in": LIFETIME}).to_string())
}

impl Signer {
    fn sign(&self, access: &[Value]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let head = json!({"typ": "JWT", "alg": "ES256", "x5c": [self.certificate]});
        let claims = json!({
            "iss": "example-issuer", "sub": "alice", "aud": "example-registry", "jti": now.to_string(),
            "iat": now, "nbf": now - 5, "exp": now + LIFETIME, "access": access,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&head), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

//! Whom to trust and how to be known: the TLS settings.

mod self_signed;

use std::sync::Arc;

use registry_backend::{Error, ErrorKind, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use crate::options::{ClientCertificate, ClientOptions};
use self_signed::SelfSigned;

/// Returns the settings for these options, with this client certificate.
///
/// # Errors
///
/// If a certificate or key of the options cannot be read.
pub(crate) fn config(
    options: &ClientOptions,
    certificate: Option<&ClientCertificate>,
) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = Vec::new();
    for pem in &options.extra_authorities {
        authorities.extend(certificates(pem, "the certificate of an authority")?);
    }
    let otherwise = verifier(authorities.clone(), provider.clone())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS", &error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SelfSigned { authorities, otherwise }));
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            let chain = certificates(chain, "the client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                .map_err(|error| unusable("the key of the client certificate", &error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable("the client certificate", &error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts what the system trusts, and further authorities.
fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let mut own = RootCertStore::empty();
    for authority in &authorities {
        own.add(authority.clone()).map_err(|error| unusable("the certificate of an authority", &error))?;
    }
    if let Ok(verifier) = Verifier::new_with_extra_roots(authorities, provider.clone()) {
        return Ok(Arc::new(verifier));
    }
    // A system without any authority, such as a minimal container, can still talk without TLS: every certificate is
    // refused when one is shown.
    if own.is_empty() {
        return Ok(Arc::new(NobodyIsTrusted(provider)));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(own.into(), provider).build();
    Ok(verifier.map_err(|error| unusable("the certificate of an authority", &error))?)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, &error))?;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "use", what).because("it has no certificate in PEM form"));
    }
    Ok(found)
}

fn unusable(what: &'static str, error: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Invalid, "use", what).because(error.to_string())
}

#[derive(Debug)]
struct NobodyIsTrusted(Arc<CryptoProvider>);

impl ServerCertVerifier for NobodyIsTrusted {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &rustls::pki_types::ServerName<'_>,
        _ocsp_response: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

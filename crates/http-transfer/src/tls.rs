//! Whom to trust and how to be known: the TLS settings.

mod self_signed;

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::error::SettingsError;
use crate::settings::{ClientCertificate, HttpSettings};
use self_signed::SelfSigned;

const AUTHORITY: &str = "the certificate of an authority";

/// Returns the settings of TLS: what the system trusts, further authorities, and who the caller is.
///
/// # Errors
///
/// If a certificate or key cannot be read.
pub(crate) fn config(settings: &HttpSettings<'_>) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = Vec::new();
    for pem in settings.extra_authorities {
        authorities.extend(certificates(pem, AUTHORITY)?);
    }
    let otherwise = verifier(authorities.clone(), provider.clone())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SelfSigned { authorities, otherwise }));
    let mut config = match settings.client_certificate {
        None => builder.with_no_client_auth(),
        Some(ClientCertificate { chain, key }) => {
            let chain = certificates(chain, "the client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                .map_err(|error| SettingsError::new("the key of the client certificate", error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| SettingsError::new("the client certificate", error))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Trusts what the system trusts, and further authorities.
fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    let mut own = RootCertStore::empty();
    for authority in &authorities {
        own.add(authority.clone()).map_err(|error| SettingsError::new(AUTHORITY, error))?;
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
    Ok(verifier.map_err(|error| SettingsError::new(AUTHORITY, error))?)
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| SettingsError::new(what, error))?;
    if found.is_empty() {
        return Err(SettingsError::new(what, "it has no certificate in PEM form"));
    }
    Ok(found)
}

#[derive(Debug)]
struct NobodyIsTrusted(Arc<CryptoProvider>);

impl ServerCertVerifier for NobodyIsTrusted {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

//! Whom to trust: the TLS settings.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error as TlsError, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};

/// Returns the settings: what the system trusts, and further authorities.
///
/// # Errors
///
/// If a certificate cannot be read.
pub(crate) fn config(extra_authorities: &[Vec<u8>], context: &Context) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = Vec::new();
    for pem in extra_authorities {
        authorities.extend(certificates(pem, context)?);
    }
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(context, &error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier(authorities, provider, context)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn verifier(
    authorities: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    context: &Context,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let has_own = !authorities.is_empty();
    match Verifier::new_with_extra_roots(authorities, provider.clone()) {
        Ok(verifier) => Ok(Arc::new(verifier)),
        Err(error) if has_own => Err(unusable(context, &error)),
        // A system without any authority, such as a minimal container, can still talk without TLS: every certificate is
        // refused when one is shown.
        Err(_) => Ok(Arc::new(NobodyIsTrusted(provider))),
    }
}

fn certificates(pem: &[u8], context: &Context) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(context, &error))?;
    if found.is_empty() {
        let reason = "the certificate of an authority is not in PEM form";
        return Err(context.error(ErrorKind::Settings).because(reason));
    }
    Ok(found)
}

fn unusable(context: &Context, error: &dyn std::error::Error) -> Error {
    context.error(ErrorKind::Settings).because(format!("the authorities to trust cannot be used: {error}"))
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
    ) -> Result<ServerCertVerified, TlsError> {
        Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

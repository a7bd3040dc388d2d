//! TLS: which certificates are trusted, and the caller's own certificate.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use crate::error::SettingsError;
use crate::secret::Secret;

const AUTHORITY: &str = "the certificate of an authority";

/// Holds the TLS settings of a session: one with the caller's certificate, and one without.
pub(crate) struct TlsSettings {
    pub(crate) own: ClientConfig,
    pub(crate) foreign: ClientConfig,
}

/// The certificate by which a caller identifies itself.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The certificate and its chain in PEM.
    pub chain: Vec<u8>,
    /// The private key in PEM.
    pub key: Secret,
}

/// Reads certificates and returns the TLS settings. Only the service itself sees the caller's certificate.
///
/// # Errors
///
/// If a certificate or key cannot be read.
pub(crate) fn settings(
    extra_authorities: &[Vec<u8>],
    client_certificate: Option<&ClientCertificate>,
) -> Result<TlsSettings, SettingsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut authorities = Vec::new();
    for pem in extra_authorities {
        authorities.extend(certificates(pem, AUTHORITY)?);
    }
    let otherwise = verifier(authorities.clone(), provider.clone())?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new("TLS", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(SelfSigned { authorities, otherwise }));
    let foreign = builder.clone().with_no_client_auth();
    let own = match client_certificate {
        None => foreign.clone(),
        Some(ClientCertificate { chain, key }) => {
            let chain = certificates(chain, "the client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes())
                .map_err(|error| SettingsError::new("the key of the client certificate", error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| SettingsError::new("the client certificate", error))?
        }
    };
    Ok(TlsSettings { own, foreign })
}

/// Trusts the system's authorities and those of the caller.
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
    // A system without authorities, such as a minimal container, can still use plain HTTP. There, every certificate
    // is refused.
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
        return Err(SettingsError::new(what, "expected a certificate in PEM form, found none"));
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

/// Also trusts a server whose own certificate is one of the caller's authorities.
///
/// RFC 5280 section 6.1 reserves an authority's certificate for signing others. Many laboratory servers use one
/// certificate for both (`openssl req -x509` makes them), and other clients accept it.
#[derive(Debug)]
struct SelfSigned {
    authorities: Vec<CertificateDer<'static>>,
    otherwise: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for SelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.otherwise.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The verifier reports an authority's certificate in this form, after it has checked the dates.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.authorities.iter().any(|own| own == end_entity) =>
            {
                let certificate = ParsedCertificate::try_from(end_entity)?;
                rustls::client::verify_server_name(&certificate, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.otherwise.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.otherwise.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.otherwise.supported_verify_schemes()
    }
}

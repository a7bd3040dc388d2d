//! Servers that show a certificate which the caller trusts itself, as `openssl req -x509` makes them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

/// Trusts certificates of servers that are themselves among the authorities, beside what another verifier trusts.
///
/// Verifiers take an authority's certificate for signing others only (RFC 5280 section 6.1), but many servers of a
/// laboratory have a single one for both, and other clients accept it.
#[derive(Debug)]
pub(super) struct SelfSigned {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) otherwise: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for SelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.otherwise.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // That it is an authority's is told in this form, and only after its dates have been found right.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
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
    ) -> Result<HandshakeSignatureValid, Error> {
        self.otherwise.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.otherwise.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.otherwise.supported_verify_schemes()
    }
}

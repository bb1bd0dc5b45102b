//! Verifies client certificates: their CA, and optionally their common name.
//!
//! The CA of a cluster also signs certificates of nodes and of users. If the certificate of the API server is from that
//! CA, its common name must be checked, too.

use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use x509_parser::parse_x509_certificate;

use super::pem::parse_certificates;

/// Returns a verifier for certificates of these CAs (PEM) with one of these common names, or with any name if the list
/// is empty.
pub fn verifier(ca: &str, names: &[String]) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in parse_certificates(ca)? {
        roots.add(certificate).context("a CA certificate in it is not valid")?;
    }
    let chain = WebPkiClientVerifier::builder(roots.into()).build()?;
    Ok(Arc::new(NameVerifier {
        chain,
        names: names.to_owned(),
    }))
}

#[derive(Debug)]
struct NameVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    names: Vec<String>,
}

impl NameVerifier {
    fn has_allowed_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = parse_x509_certificate(certificate) else {
            return false;
        };
        let mut shown = certificate
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok());
        self.names.is_empty() || shown.any(|shown| self.names.iter().any(|name| name == shown))
    }
}

impl ClientCertVerifier for NameVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(certificate, intermediates, now)?;
        if self.has_allowed_name(certificate) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

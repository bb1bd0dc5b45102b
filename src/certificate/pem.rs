//! Certificates and keys as PEM text.

use anyhow::{Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const END: &str = "-----END CERTIFICATE-----";

/// Returns the text of each certificate.
pub fn certificates(pem: &str) -> impl Iterator<Item = &str> {
    pem.split_inclusive(END).map(str::trim).filter(|pem| pem.ends_with(END))
}

/// Joins the texts of certificates.
pub fn join<'a>(certificates: impl IntoIterator<Item = &'a str>) -> String {
    certificates.into_iter().flat_map(|pem| [pem.trim(), "\n"]).collect()
}

/// Parses all certificates. It is an error if there are none.
pub fn parse_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
    ensure!(!chain.is_empty(), "there is no certificate in it");
    Ok(chain)
}

/// Parses the private key.
pub fn parse_key(pem: &str) -> Result<PrivateKeyDer<'static>> {
    Ok(PrivateKeyDer::from_pem_slice(pem.as_bytes())?)
}

//! Issues the webhook's certificate with a CA of its own, and generates tokens.

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use x509_parser::parse_x509_certificate;

use super::schedule::{self, Validity};

/// A certificate with its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedKey {
    /// The certificate and the intermediate certificates.
    pub chain: String,
    /// Its key.
    pub key: String,
}

impl CertifiedKey {
    /// Returns when the certificate is valid; nothing if it cannot be parsed.
    pub fn validity(&self) -> Option<Validity> {
        let first = CertificateDer::from_pem_slice(self.chain.as_bytes()).ok()?;
        let (_, certificate) = parse_x509_certificate(&first).ok()?;
        let validity = certificate.validity();
        Some(Validity {
            from: Timestamp::from_second(validity.not_before.timestamp()).ok()?,
            until: Timestamp::from_second(validity.not_after.timestamp()).ok()?,
        })
    }
}

/// Issues a certificate for these names with a new CA, and returns the CA (PEM) and the certificate. The key of the CA
/// is not kept.
pub fn certificate(names: &[String], lifetime: SignedDuration, now: Timestamp) -> Result<(String, CertifiedKey)> {
    let validity = schedule::validity(now, lifetime);
    let mut ca = with_validity(CertificateParams::default(), validity)?;
    ca.distinguished_name.push(DnType::CommonName, "bindery webhook CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();

    let mut leaf = with_validity(CertificateParams::new(names).context("--serving-name")?, validity)?;
    leaf.distinguished_name.push(DnType::CommonName, "bindery webhook");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;
    let pair = CertifiedKey {
        chain: certificate.pem(),
        key: key.serialize_pem(),
    };
    Ok((ca_pem, pair))
}

fn with_validity(mut parameters: CertificateParams, validity: Validity) -> Result<CertificateParams> {
    parameters.not_before = OffsetDateTime::from_unix_timestamp(validity.from.as_second())?;
    parameters.not_after = OffsetDateTime::from_unix_timestamp(validity.until.as_second())?;
    Ok(parameters)
}

/// Generates a token: 128 random bits as hexadecimal digits.
pub fn token() -> Result<String> {
    let mut bytes = [0; 16];
    let random = default_provider().secure_random;
    random
        .fill(&mut bytes)
        .ok()
        .context("the system returned no random numbers")?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_valid_for_its_lifetime() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let lifetime = SignedDuration::from_hours(24);
        let (_, pair) = certificate(&["bindery.bindery.svc".to_owned()], lifetime, now).unwrap();
        assert_eq!(pair.validity().unwrap(), schedule::validity(now, lifetime).in_seconds());
    }

    #[test]
    fn a_token_is_32_hexadecimal_digits_and_differs_each_time() {
        let (one, two) = (token().unwrap(), token().unwrap());
        assert_ne!(one, two);
        assert!(
            one.len() == 32 && one.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c)),
            "{one}"
        );
    }

    impl Validity {
        fn in_seconds(self) -> Self {
            let cut = |time: Timestamp| Timestamp::from_second(time.as_second()).unwrap();
            Self {
                from: cut(self.from),
                until: cut(self.until),
            }
        }
    }
}

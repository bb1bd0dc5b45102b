//! The serving certificate: a CA and a certificate of Bindery's own making, kept in a Secret that all replicas share.
//!
//! The API server trusts the CA through the webhook configuration, where the registration loop puts it. Whichever replica
//! is first makes the Secret; one that is lost, or made for other names, is made anew at the next start.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::fence::is_taken;
use crate::names::annotation::SERVING_NAMES;

const CA: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// Others may be making it at the same time; one of them comes first.
const TRIES: usize = 5;

/// A certificate that is ready to serve, and the CA that vouches for it.
pub struct Serving {
    /// For the webhook configuration's `caBundle`.
    pub ca_pem: String,
    /// For the listener.
    pub config: Arc<ServerConfig>,
}

impl Serving {
    /// The certificate in the Secret, which is made if it is not there.
    pub async fn shared(client: Client, namespace: &str, secret: &str, names: &[String]) -> Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client, namespace);
        let about = || format!("Secret {namespace}/{secret}, which keeps the webhook's certificate");
        for _ in 0..TRIES {
            let found = secrets.get_opt(secret).await.with_context(about)?;
            if let Some(found) = &found
                && is_for(found, names)
            {
                return Self::read(found).with_context(about);
            }
            if found.as_ref().is_some_and(|found| !is_ours(found)) {
                bail!(
                    "{} is somebody else's: name another with --tls-secret, or delete it",
                    about()
                );
            }
            let made = make(secret, names, found.as_ref())?;
            let parameters = PostParams::default();
            let written = match found {
                Some(_) => secrets.replace(secret, &parameters, &made).await,
                None => secrets.create(&parameters, &made).await,
            };
            match written {
                Ok(made) => {
                    tracing::info!(secret, namespace, "made the webhook's certificate");
                    return Self::read(&made).with_context(about);
                }
                Err(error) if is_taken(&error) => {}
                Err(error) => return Err(error).with_context(about),
            }
        }
        bail!("{} is changed all the time by something else", about())
    }

    /// The certificate in a Secret.
    pub fn read(secret: &Secret) -> Result<Self> {
        let data = secret.data.as_ref();
        let get = |key: &str| {
            data.and_then(|data| data.get(key))
                .with_context(|| format!("{key} is missing"))
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&get(CERTIFICATE)?.0).collect();
        let key = PrivateKeyDer::from_pem_slice(&get(KEY)?.0).context(KEY)?;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.context(CERTIFICATE)?, key)
            .context("certificate and key are of no use")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            ca_pem: String::from_utf8(get(CA)?.0.clone()).context(CA)?,
            config: Arc::new(config),
        })
    }
}

/// Whether a Secret holds a certificate for these names.
fn is_for(secret: &Secret, names: &[String]) -> bool {
    let written = secret
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(SERVING_NAMES));
    let complete = |key: &&str| secret.data.as_ref().is_some_and(|data| data.contains_key(*key));
    written == Some(&names.join(",")) && [CA, CERTIFICATE, KEY].iter().all(complete)
}

/// Whether Bindery made it.
fn is_ours(secret: &Secret) -> bool {
    let annotations = secret.metadata.annotations.as_ref();
    annotations.is_some_and(|all| all.contains_key(SERVING_NAMES))
}

/// A Secret with a new CA and a certificate for these names; it replaces the one that was found.
pub fn make(name: &str, names: &[String], found: Option<&Secret>) -> Result<Secret> {
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "bindery webhook CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let ca_key = KeyPair::generate()?;
    let ca_pem = ca.self_signed(&ca_key)?.pem();

    let mut leaf = CertificateParams::new(names).context("--serving-name")?;
    leaf.distinguished_name.push(DnType::CommonName, "bindery webhook");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;

    let data = [
        (CA, ca_pem),
        (CERTIFICATE, certificate.pem()),
        (KEY, key.serialize_pem()),
    ];
    let bytes = |(key, pem): (&str, String)| (key.to_owned(), ByteString(pem.into_bytes()));
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            annotations: Some([(SERVING_NAMES.to_owned(), names.join(","))].into()),
            resource_version: found.and_then(|found| found.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        data: Some(data.into_iter().map(bytes).collect()),
        // A Secret's type cannot be changed.
        type_: Some(
            found
                .and_then(|found| found.type_.clone())
                .unwrap_or("kubernetes.io/tls".to_owned()),
        ),
        ..Secret::default()
    })
}

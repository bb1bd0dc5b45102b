//! An HTTPS client other than the API server, which calls a webhook.

use std::path::PathBuf;

use http_body_util::BodyExt;
use kube::Client;
use kube::config::Config;

/// A client certificate and its key.
pub struct Identity {
    /// Certificate file, in PEM.
    pub certificate: PathBuf,
    /// Key file, in PEM.
    pub key: PathBuf,
}

/// A client that opens a new connection for each call.
pub struct Caller {
    ca: Option<String>,
    identity: Option<Identity>,
}

impl Caller {
    /// Returns a client that trusts these CAs, in PEM.
    pub fn trusting(ca: &str) -> Self {
        Self {
            ca: Some(ca.to_owned()),
            identity: None,
        }
    }

    /// Returns a client that trusts every certificate.
    pub fn trusting_any_certificate() -> Self {
        Self {
            ca: None,
            identity: None,
        }
    }

    /// Uses this client certificate.
    pub fn with_certificate(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sends a GET and returns the status, or an error if there is no connection.
    pub async fn get(self, url: &str) -> Result<u16, String> {
        self.send("GET", url, vec![]).await.map(|(status, _)| status)
    }

    /// Sends a request, and returns status and body of the answer.
    pub async fn send(self, method: &str, url: &str, body: Vec<u8>) -> Result<(u16, String), String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url: http::Uri = url.parse().expect("a URL");
        let root = format!("https://{}", url.authority().expect("a host"));
        let mut config = Config::new(root.parse().expect("a URL"));
        match &self.ca {
            None => config.accept_invalid_certs = true,
            Some(ca) => {
                let ders = pem::parse(ca);
                config.root_cert = Some(ders);
            }
        }
        if let Some(Identity { certificate, key }) = &self.identity {
            config.auth_info.client_certificate = Some(certificate.display().to_string());
            config.auth_info.client_key = Some(key.display().to_string());
        }
        let client = Client::try_from(config).expect("a client");
        let request = http::Request::builder().method(method).uri(url.path());
        let request = request.body(body.into()).expect("a request");
        let answer = client.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?;
        Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }
}

mod pem {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    pub fn parse(text: &str) -> Vec<Vec<u8>> {
        let each = CertificateDer::pem_slice_iter(text.as_bytes());
        each.map(|der| der.expect("a certificate").to_vec()).collect()
    }
}

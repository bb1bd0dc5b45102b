//! The certificate of the webhook, its CA, and the secret token in its path.
//!
//! By default Bindery issues the certificate and keeps it in a Secret that all replicas share ([`manager`]). It can
//! also come from files that another program renews ([`files`]). The token is always Bindery's.

mod clients;
mod files;
mod issue;
mod manager;
pub mod pem;
mod schedule;
mod secret;
mod tokens;

use std::sync::Arc;

use rustls::ServerConfig;

pub use self::files::Files;
pub use self::issue::{CertifiedKey, certificate};
pub use self::manager::{CertificateManager, CertificateOptions};
pub use self::tokens::Tokens;

/// What the webhook serves with, and what the API server needs to call it.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The TLS configuration of the webhook.
    pub config: Arc<ServerConfig>,
    /// The CAs for `caBundle` in the webhook configuration, in PEM; nothing if Bindery does not set it.
    pub trusted: Option<String>,
    /// The tokens that a path can end with.
    pub tokens: Tokens,
}

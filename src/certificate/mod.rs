//! What the webhook serves with, and what the API server must know to call it: certificate, CA, and the path's token.
//!
//! By default all of it is of Bindery's own making and kept in a Secret that all replicas share ([`manager`]). A certificate
//! may come from files instead ([`files`]), which somebody else renews; the token is always Bindery's.

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

/// See the module.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// For the listener.
    pub config: Arc<ServerConfig>,
    /// For the webhook configuration's `caBundle`, in PEM; nothing if that is somebody else's to keep.
    pub trusted: Option<String>,
    /// What a path must end in.
    pub tokens: Tokens,
}

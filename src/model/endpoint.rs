//! The endpoint of a share: all shares of one endpoint become unreachable together.

use std::fmt;

use crate::model::directory::{NfsVersion, Share};

/// A server and the way in which Bindery accesses it. Versions 4 and 3 of one server are two endpoints, because the
/// portmapper of version 3 may fail alone. Each mount is an endpoint of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    server: String,
    access: Access,
}

/// How Bindery accesses a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Access {
    /// Bindery's own NFS client, in this version.
    Nfs(NfsVersion),
    /// The mount of the share with this path.
    Mount(String),
}

impl Endpoint {
    /// The endpoint of a share that Bindery's own NFS client accesses, in the version of the share.
    pub fn nfs(share: &Share) -> Self {
        Self {
            server: share.server().to_owned(),
            access: Access::Nfs(share.version()),
        }
    }

    /// The endpoint of a share that is mounted.
    pub fn mount(share: &Share) -> Self {
        Self {
            server: share.server().to_owned(),
            access: Access::Mount(share.path().to_owned()),
        }
    }

    /// The server's name.
    pub fn server(&self) -> &str {
        &self.server
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.server)?;
        match &self.access {
            Access::Nfs(NfsVersion::V4) => Ok(()),
            Access::Nfs(NfsVersion::V3) => f.write_str(" (NFSv3)"),
            Access::Mount(path) => write!(f, ":{path} (mounted)"),
        }
    }
}

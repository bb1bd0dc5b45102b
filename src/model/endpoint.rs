//! Which shares fail together.

use std::fmt;

use crate::model::directory::{NfsVersion, Share};

/// The connection to a server. If it gets no answer for one share, it gets none for all its shares. Versions 4 and 3 of
/// one server are two endpoints, because the portmapper of version 3 may fail alone; each mount is an endpoint of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    server: String,
    access: Access,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Access {
    Nfs(NfsVersion),
    /// The mount of the share with this path.
    Mount(String),
}

impl Endpoint {
    /// Bindery's own NFS client, in the version of the share.
    pub fn nfs(share: &Share) -> Self {
        Self {
            server: share.server().to_owned(),
            access: Access::Nfs(share.version()),
        }
    }

    /// A mount of the share.
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

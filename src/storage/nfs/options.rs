//! The identity of Bindery on NFS servers, and its source port.

use std::sync::Arc;
use std::time::Duration;

/// Identity and source port of the NFS clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NfsOptions {
    /// The user that directories are made as. Only root (0) can give them to another owner.
    pub uid: u32,
    /// That user's group.
    pub gid: u32,
    /// The name of this replica, usually its pod's name. Servers know it by this name and log it. Cut to 255 bytes.
    ///
    /// After a restart with the same name, the first session on an NFSv4 server ends the sessions and late calls of the
    /// earlier process. So no two running processes may have the same name: each would end the other's sessions.
    pub machine: String,
    /// Whether to connect from a source port below 1024 where the system allows it. Most exports require that.
    pub privileged_port: bool,
}

/// The configuration that all servers share.
#[derive(Clone, Debug)]
pub(in crate::storage) struct ClientConfig {
    pub options: Arc<NfsOptions>,
    /// See [`super::NfsStorage::with_longest_fence`].
    pub longest_fence: Option<Duration>,
}

impl From<NfsOptions> for ClientConfig {
    fn from(mut options: NfsOptions) -> Self {
        options.machine.truncate(options.machine.floor_char_boundary(255));
        Self {
            options: Arc::new(options),
            longest_fence: None,
        }
    }
}

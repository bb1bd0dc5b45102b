//! Chooses the storage that reaches a share.

use tokio::time::Instant;

use super::mounted::MountedStorage;
use super::nfs::{Nfs3Storage, NfsOptions, NfsStorage};
use super::{Forward, Storage, StorageError};
use crate::model::directory::{NfsVersion, Share};

/// Every [`Storage`] that there is: each call goes to the one that reaches its share.
#[derive(Debug)]
pub struct Storages {
    v4: NfsStorage,
    v3: Nfs3Storage,
    mounted: MountedStorage,
}

impl Storages {
    /// Clients without connections, all of which are the same to a server.
    pub fn new(options: NfsOptions) -> Self {
        Self {
            v3: Nfs3Storage::new(options.clone()),
            v4: NfsStorage::new(options),
            mounted: MountedStorage::new(Vec::new()),
        }
    }

    /// The same with shares that are mounted.
    pub fn with_mounted(self, mounted: MountedStorage) -> Self {
        Self { mounted, ..self }
    }

    /// Ends all that this process has on any server: see [`NfsStorage::shut_down`]. The others keep nothing there.
    pub async fn shut_down(&self) {
        self.v4.shut_down().await;
    }
}

impl Forward for Storages {
    /// A mount wins over what the share's version says.
    fn inner(&self, share: &Share) -> &dyn Storage {
        if self.mounted.serves(share) {
            return &self.mounted;
        }
        match share.version() {
            NfsVersion::V4 => &self.v4,
            NfsVersion::V3 => &self.v3,
        }
    }

    async fn forward<T: Send>(
        &self,
        _: &Share,
        _: Instant,
        call: impl Future<Output = Result<T, StorageError>> + Send,
        _: fn(&T) -> bool,
    ) -> Result<T, StorageError> {
        call.await
    }
}

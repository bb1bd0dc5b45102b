//! Chooses the storage that reaches a share.

use tokio::time::Instant;

use super::mounted::MountedStorage;
use super::nfs::{Nfs3Storage, NfsOptions, NfsStorage};
use super::{Forward, Storage, StorageError};
use crate::model::directory::{NfsVersion, Share};

/// All kinds of storage. Each call goes to the one that reaches its share.
#[derive(Debug)]
pub struct Storages {
    v4: NfsStorage,
    v3: Nfs3Storage,
    mounted: MountedStorage,
}

impl Storages {
    /// Creates clients without connections. A server sees all of them as the same client.
    pub fn new(options: NfsOptions) -> Self {
        Self {
            v3: Nfs3Storage::new(options.clone()),
            v4: NfsStorage::new(options),
            mounted: MountedStorage::new(Vec::new()),
        }
    }

    /// Adds mounted shares.
    pub fn with_mounted(self, mounted: MountedStorage) -> Self {
        Self { mounted, ..self }
    }

    /// Returns whether no call of an earlier verb can take effect once a later verb has begun: see [`super`].
    pub fn prevents_late_calls(&self, share: &Share) -> bool {
        !self.mounted.serves(share) && share.version() == NfsVersion::V4
    }

    /// Destroys the sessions and clients of this process: see [`NfsStorage::shut_down`]. Only NFSv4 has them.
    pub async fn shut_down(&self) {
        self.v4.shut_down().await;
    }
}

impl Forward for Storages {
    /// Prefers a mount; else the version of the share decides.
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

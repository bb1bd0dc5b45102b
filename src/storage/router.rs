//! Which storage reaches a share.

use async_trait::async_trait;
use tokio::time::Instant;

use super::mounted::MountedStorage;
use super::nfs::{Nfs3Storage, NfsOptions, NfsStorage};
use super::{Attributes, Existing, Found, Identity, Made, Moved, Removed, ShareId, Storage, StorageError, Tree};
use crate::model::directory::{Directory, NfsVersion, Share};
use crate::model::endpoint::Endpoint;

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
            mounted: MountedStorage::default(),
        }
    }

    /// The same with shares that are mounted.
    pub fn with_mounted(self, mounted: MountedStorage) -> Self {
        Self { mounted, ..self }
    }

    /// Ends all that this process has on any server: see [`NfsStorage::leave`]. The others keep nothing there.
    pub async fn leave(&self) {
        self.v4.leave().await;
    }

    /// The one that reaches a share. A mount wins over what the share's version says.
    fn of(&self, share: &Share) -> &dyn Storage {
        if self.mounted.serves(share) {
            return &self.mounted;
        }
        match share.version() {
            NfsVersion::V4 => &self.v4,
            NfsVersion::V3 => &self.v3,
        }
    }
}

#[async_trait]
impl Storage for Storages {
    fn endpoint(&self, share: &Share) -> Endpoint {
        if self.mounted.serves(share) {
            Endpoint::mount(share)
        } else {
            Endpoint::nfs(share)
        }
    }

    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        self.of(share).look_up(share, directory, deadline).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        self.of(share).identify(share, deadline).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        self.of(share).above(share, directory, deadline).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        self.of(share)
            .make(share, directory, attributes, existing, deadline)
            .await
    }

    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        self.of(share).rename(share, from, expected, to, deadline).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        self.of(share).remove_empty(share, directory, expected, deadline).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        self.of(share).remove_tree(share, directory, deadline).await
    }

    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError> {
        self.of(share).list(share, directory, deadline).await
    }
}

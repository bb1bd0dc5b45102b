//! Which kind of storage a share is on: the mount that somebody made for it, else the NFS client.

use async_trait::async_trait;
use tokio::time::Instant;

use super::mounted::MountedStorage;
use super::nfs::NfsStorage;
use super::{Attributes, Existing, Found, Identity, Made, Moved, Removed, Storage, StorageError, Tree};
use crate::policy::directory::{Directory, Share};

/// [`Storage`] of every kind, each share on its own.
#[derive(Debug)]
pub struct Storages {
    mounted: MountedStorage,
    nfs: NfsStorage,
}

impl Storages {
    /// What is mounted goes by its mount, all else over the network.
    pub fn new(mounted: MountedStorage, nfs: NfsStorage) -> Self {
        Self { mounted, nfs }
    }

    fn of(&self, share: &Share) -> &dyn Storage {
        if self.mounted.serves(share) {
            &self.mounted
        } else {
            &self.nfs
        }
    }
}

#[async_trait]
impl Storage for Storages {
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        self.of(share).look_up(share, directory, deadline).await
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
        let storage = self.of(share);
        storage.make(share, directory, attributes, existing, deadline).await
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

//! Passes calls on to another storage: written once, for the router and for the breaker.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Existing, Found, Made, Moved, Removed, Storage, StorageError, Tree};
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;

/// A storage that passes every call on.
pub trait Forward: Send + Sync {
    /// Returns the storage that a share's calls go to.
    fn inner(&self, share: &Share) -> &dyn Storage;

    /// Makes a call of the inner storage. `answered` tells from a result whether the server has answered.
    fn forward<T: Send>(
        &self,
        share: &Share,
        deadline: Instant,
        call: impl Future<Output = Result<T, StorageError>> + Send,
        answered: fn(&T) -> bool,
    ) -> impl Future<Output = Result<T, StorageError>> + Send;
}

#[async_trait]
impl<F: Forward> Storage for F {
    fn endpoint(&self, share: &Share) -> Endpoint {
        self.inner(share).endpoint(share)
    }

    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        let call = self.inner(share).look_up(share, directory, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let call = self.inner(share).identify(share, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        let call = self.inner(share).above(share, directory, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let call = self.inner(share).make(share, directory, attributes, existing, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        let call = self.inner(share).rename(share, from, expected, to, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        let call = self.inner(share).remove_empty(share, directory, expected, deadline);
        self.forward(share, deadline, call, |_| true).await
    }

    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        let call = self.inner(share).remove_tree(share, directory, deadline);
        // What remains may remain because its time was over before the server was asked for anything.
        self.forward(share, deadline, call, |tree| *tree == Tree::Gone).await
    }

    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError> {
        let call = self.inner(share).list(share, directory, deadline);
        self.forward(share, deadline, call, |_| true).await
    }
}

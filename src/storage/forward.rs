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

/// Implements [`Storage`]. Each verb is followed by what tells from its result whether the server has answered.
macro_rules! forward {
    ($($verb:ident($($argument:ident: $type:ty),*) -> $result:ty, $answered:expr;)*) => {
        #[async_trait]
        impl<F: Forward> Storage for F {
            fn endpoint(&self, share: &Share) -> Endpoint {
                self.inner(share).endpoint(share)
            }

            $(async fn $verb(
                &self,
                share: &Share,
                $($argument: $type,)*
                deadline: Instant,
            ) -> Result<$result, StorageError> {
                let call = self.inner(share).$verb(share, $($argument,)* deadline);
                self.forward(share, deadline, call, $answered).await
            })*
        }
    };
}

forward! {
    look_up(directory: &Directory) -> Option<Found>, |_| true;
    identify() -> ShareId, |_| true;
    above(directory: &Directory) -> Found, |_| true;
    make(directory: &Directory, attributes: Attributes, existing: Existing) -> Made, |_| true;
    rename(from: &Directory, expected: Identity, to: &Directory) -> Moved, |_| true;
    remove_empty(directory: &Directory, expected: Identity) -> Removed, |_| true;
    // What remains may remain because its time was over before the server was asked for anything.
    remove_tree(directory: &Directory) -> Tree, |tree| *tree == Tree::Gone;
    list(directory: Option<&Directory>) -> Vec<String>, |_| true;
}

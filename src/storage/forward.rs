//! Forwards calls to another storage, for the router and for the breaker.

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    Existing, ExistingLimit, Found, Made, Measured, Measurement, Moved, Pace, Removed, Space, Storage, StorageError,
    Tree,
};
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;

/// A storage that forwards every call.
pub trait Forward: Send + Sync {
    /// Returns the storage that a share's calls go to.
    fn inner(&self, share: &Share) -> &dyn Storage;

    /// Runs a call of the inner storage. `answered` returns whether a result means that the server has answered.
    fn forward<T: Send>(
        &self,
        share: &Share,
        deadline: Instant,
        call: impl Future<Output = Result<T, StorageError>> + Send,
        answered: fn(&T) -> bool,
    ) -> impl Future<Output = Result<T, StorageError>> + Send;
}

/// Implements [`Storage`]. The closure of each verb returns whether its result means that the server has answered.
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
    set_attributes(directory: &Directory, expected: Identity, attributes: Attributes) -> Option<Found>, |_| true;
    remove_empty(directory: &Directory, expected: Identity) -> Removed, |_| true;
    // A part may be left because the deadline was over before any call was sent.
    remove_tree(directory: &Directory) -> Tree, |tree| *tree == Tree::Gone;
    list(directory: Option<&Directory>) -> Vec<String>, |_| true;
    space(directory: Option<&Directory>) -> Option<Space>, |_| true;
    limit_size(directory: &Directory, expected: Identity, bytes: u64, existing: ExistingLimit) -> (), |()| true;
    // A part may be left because no call was sent.
    measure(directory: &Directory, expected: Identity, measurement: &Measurement, pace: &dyn Pace) -> Measured,
        |measured| *measured != Measured::Remains { answered: false };
}

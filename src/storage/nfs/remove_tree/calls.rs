//! The calls that a removal is made of, as each version makes them.

use tokio::sync::Semaphore;

use crate::storage::nfs::attempt::{Attempt, Protocol, RoundError};
use crate::storage::status::Status;

pub(super) type Name = Vec<u8>;

/// What has a name in a directory.
pub(in crate::storage) struct Spot<H> {
    pub handle: H,
    pub is_directory: bool,
    /// Its file system.
    pub fsid: (u64, u64),
}

/// The first page of a directory.
pub(in crate::storage) struct Page {
    /// Names, and whether each may be a directory.
    pub entries: Vec<(Name, bool)>,
    /// Nothing comes after it.
    pub last: bool,
}

/// What a call that removes names came to: so many of them are gone, and the next one met this.
pub(in crate::storage) struct Removed {
    pub gone: usize,
    pub stopped: Option<Status>,
}

/// What is to be removed from a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum What {
    /// What is no directory.
    Files,
    /// Empty directories inside the tree.
    Directories,
    /// The tree itself, empty. Its name may belong to something else later, so this must not take effect late.
    Tree,
}

/// The calls that a removal is made of. An inner error is what the server answers.
pub(in crate::storage) trait Calls: Sync {
    type Handle: Clone + Send + Sync + 'static;
    type Protocol: Protocol;

    /// The run of the verb.
    fn attempt(&self) -> &Attempt<'_, Self::Protocol>;
    /// A place for each call that is under way for any tree of the server.
    fn removals(&self) -> &Semaphore;
    /// Reads the first page of a directory.
    fn page(&self, directory: &Self::Handle) -> impl Future<Output = Result<Result<Page, Status>, RoundError>> + Send;
    /// Looks what has a name; a link is not followed.
    fn look(
        &self,
        directory: &Self::Handle,
        name: &[u8],
    ) -> impl Future<Output = Result<Result<Spot<Self::Handle>, Status>, RoundError>> + Send;
    /// How many of the names one call may remove.
    fn fit(&self, names: &[&[u8]]) -> usize;
    /// Removes names, in this order.
    fn remove(
        &self,
        directory: &Self::Handle,
        names: &[&[u8]],
        what: What,
    ) -> impl Future<Output = Result<Removed, RoundError>> + Send;
    /// Gives a directory mode 0700; whether it did.
    fn open(&self, directory: &Self::Handle) -> impl Future<Output = Result<bool, RoundError>> + Send;
}

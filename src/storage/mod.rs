//! The few things that Bindery does on an NFS server, as a trait.
//!
//! Every verb holds these promises, whatever implements it:
//! - **Place.** Nothing outside the share is ever touched, and no symbolic link below the share is ever followed:
//!   the types of [`crate::model::directory`] cannot name such a place, and a link or a file in the way is
//!   [`Fault::NotADirectory`].
//! - **Time.** The answer is there at `deadline`, also when the server is silent.
//! - **Twice.** A call may be made again after any failure or crash; where that changes the answer, the verb says so.
//! - **Late calls.** After an error with [`Outcome::Unknown`] the server may still carry the call out. Before the next
//!   verb on that server starts, the implementation does what the protocol offers to prevent it (NFSv4.1: the session
//!   is destroyed; a late COMPOUND gets BADSESSION). Only what [`Storage::remove_tree`] removes inside the tree may go late.
//!   A process that crashed leaves such calls, too: they end when the next one of the same name opens its first session.
//!   Version 3 offers nothing, nor do the file system calls of [`mounted`]: there a late call may take effect at any time,
//!   and whoever has a record keeps it.

mod attributes;
mod error;
mod forward;
mod messages;
pub mod mounted;
pub mod nfs;
mod refusal;
mod router;
mod status;
mod transient;

use async_trait::async_trait;
use tokio::time::Instant;

pub use self::error::{Fault, Outcome, StorageError};
pub use self::forward::Forward;
pub use self::router::Storages;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::{ShareId, View};

/// The verbs. See the module for what all of them promise.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Which way to its server a share is reached on. Nothing is asked.
    fn endpoint(&self, share: &Share) -> Endpoint {
        Endpoint::nfs(share)
    }

    /// What is at `directory`: nothing, or a directory.
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError>;

    /// Which file system the share is. The share's own directory is looked at, and nothing below it.
    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError>;

    /// The nearest directory above `directory` that is there: its parent, or where that is missing one further up, at last
    /// the share itself. Its file system tells whether a server that shows no `directory` shows the same disk as before.
    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError>;

    /// Makes `directory`, with the parents that are missing (mode 0755, the server's default owner).
    ///
    /// After success it is there with exactly `attributes`, no umask applied, unless it was there before and `existing`
    /// says to leave it alone. A second call finds the first one's directory (`new: false`). After
    /// [`Outcome::NotDone`] it is not there by this call; missing parents that were made stay.
    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError>;

    /// Moves the directory at `from` to `to`, if it is the one with identity `expected`: the check and the rename go to
    /// the server as one request, or, where the protocol has no such thing, what turns out to be another one is moved
    /// back. The parent of `to` is there already. `to` must not be in use: a server replaces an
    /// empty directory silently. A second call finds the directory at `to`, which is success too.
    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError>;

    /// Removes the directory if it is the one with identity `expected` and nothing is in it.
    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError>;

    /// Removes the directory and all that is in it, as far as `deadline` allows: [`Tree::Remains`] asks for another
    /// call, which goes on where this one stopped. Links are removed, never followed; another file system mounted in
    /// the tree is not entered. A missing directory is success.
    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError>;

    /// The names in a directory of the share (`None`: in the share itself), in no order. Names that are not UTF-8 are
    /// left out: none of them is Bindery's. A missing directory has none.
    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError>;
}

/// A directory that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one it is.
    pub identity: Identity,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner; none where the server tells a name, or nothing.
    pub uid: Option<u32>,
    /// Its group, likewise.
    pub gid: Option<u32>,
}

impl Found {
    /// Whether it is what a new one would be. An owner that is left to the server's choice is not compared.
    pub fn has(&self, wanted: Attributes) -> bool {
        let is = |found: Option<u32>, wanted: Option<u32>| wanted.is_none() || found == wanted;
        self.mode == wanted.mode && is(self.uid, wanted.uid) && is(self.gid, wanted.gid)
    }

    /// Owner and group, for people.
    pub fn owner(&self) -> String {
        let id = |id: Option<u32>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        format!("{}:{}", id(self.uid), id(self.gid))
    }
}

/// What [`Storage::make`] does with a directory that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is ours from an earlier try: give it the attributes.
    SetAttributes,
    /// It is somebody's: keep its owner and mode.
    LeaveAlone,
}

/// The directory that [`Storage::make`] made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Which one it is.
    pub identity: Identity,
    /// Whether this call made it. Where an answer was lost on the way, a directory that is there then counts as made by
    /// this call; with [`Existing::SetAttributes`] it may have been there before.
    pub new: bool,
}

/// What [`Storage::rename`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is at the new place: moved by this call or by an earlier one.
    Done,
    /// Nothing is at the old place, and it is not at the new one.
    Missing,
    /// Another directory is at the old place and was left alone; the one that is meant is not at the new place.
    Another(Identity),
}

/// What [`Storage::remove_empty`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Done,
    /// It was not there: an earlier try may have removed it.
    Missing,
    /// Something is in it; it was left alone.
    NotEmpty,
    /// Another directory is at the place; it was left alone.
    Another(Identity),
}

/// What [`Storage::remove_tree`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// It is gone, or never was there.
    Gone,
    /// The deadline came first; call again.
    Remains,
}

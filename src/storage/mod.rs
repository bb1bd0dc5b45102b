//! What Bindery does on an NFS server, as a trait.
//!
//! Every implementation of a verb keeps these promises:
//! - **Place.** Nothing outside the share is changed, and no symbolic link below the share is followed:
//!   the types of [`crate::model::directory`] cannot name such a place, and a link or a file on the way is
//!   [`Fault::NotADirectory`].
//! - **Time.** The result is there at `deadline`, also when the server does not answer.
//! - **Repetition.** A call may be repeated after any failure or crash; where that changes the result, the verb says so.
//! - **Late calls.** After an error with [`Outcome::Unknown`] the server may still carry the call out. Before the next
//!   verb on that server starts, the implementation prevents that as far as the protocol can (NFSv4.1: the session is
//!   destroyed; a late COMPOUND gets BADSESSION). Only removals inside the tree of [`Storage::remove_tree`] may take effect late.
//!   A process that crashed leaves such calls, too: they end when the next process of the same name opens its first session.
//!   NFSv3 and the file system calls of [`mounted`] cannot prevent it: there a late call may take effect at any time, so
//!   what is recorded about it must be kept.

mod attempt;
mod attributes;
mod client;
mod errno;
mod error;
mod forward;
mod messages;
mod mount_messages;
pub mod mounted;
pub mod nfs;
mod no_answer;
mod refusal;
mod router;
mod status;
mod transient;
mod trash_roots;
mod verbs;

use async_trait::async_trait;
use tokio::time::Instant;

pub use self::error::{Fault, Outcome, StorageError};
pub use self::forward::Forward;
pub use self::router::Storages;
pub use self::trash_roots::trash_roots;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;

/// The verbs. The module says what all of them promise.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Returns the endpoint through which a share is reached. Sends nothing.
    fn endpoint(&self, share: &Share) -> Endpoint {
        Endpoint::nfs(share)
    }

    /// Looks up a directory. `None`: nothing is there.
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError>;

    /// Identifies the file system of the share. Looks at the share's own directory, and at nothing below it.
    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError>;

    /// Looks up the nearest existing directory above `directory`: its parent, or if that is missing one further up, in the end
    /// the share itself. Its file system shows whether a server that has no `directory` has the same disk as before.
    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError>;

    /// Makes `directory`, with its missing parents (mode 0755, the server's default owner).
    ///
    /// After success it has exactly `attributes`, without a umask, unless it existed before and `existing` says to leave it
    /// alone. The mode alone may differ, if the server does not let it be set or does not keep it. A repeated call finds the directory of the first one (`new: false`). After [`Outcome::NotDone`] this call has not
    /// left it there; parents that were made stay.
    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError>;

    /// Moves the directory at `from` to `to`, if it is the one with identity `expected`. The check and the rename are one
    /// request to the server; where the protocol cannot do that, a directory that turns out to be another one is moved back.
    /// The parent of `to` must exist. Nothing may be at `to`: a server replaces an empty directory silently. A repeated call
    /// finds the directory at `to`, which is success, too.
    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError>;

    /// Removes the directory if it is the one with identity `expected` and is empty.
    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError>;

    /// Removes the directory and all that is in it, until `deadline`. After [`Tree::Remains`] another call must continue.
    /// Links are removed and not followed; another file system mounted in the tree is not entered. A missing directory is
    /// success.
    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError>;

    /// Lists the names in a directory of the share (`None`: in the share itself), in no order. Names that are not UTF-8 are
    /// left out: none of them is Bindery's. A missing directory has no names.
    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError>;
}

/// A directory that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub identity: Identity,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner; none where the server sends a name, or nothing.
    pub uid: Option<u32>,
    /// Its group; none as for the owner.
    pub gid: Option<u32>,
}

impl Found {
    /// Whether it has these attributes. An owner that the server chooses is not compared.
    pub fn has(&self, wanted: Attributes) -> bool {
        let is = |found: Option<u32>, wanted: Option<u32>| wanted.is_none() || found == wanted;
        is(Some(self.mode), wanted.mode) && is(self.uid, wanted.uid) && is(self.gid, wanted.gid)
    }

    /// Shows owner and group.
    pub fn owner(&self) -> String {
        let id = |id: Option<u32>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        format!("{}:{}", id(self.uid), id(self.gid))
    }
}

/// What [`Storage::make`] does with a directory that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// An earlier try has made it: give it the attributes.
    SetAttributes,
    /// It may be in use: keep its owner and mode.
    LeaveAlone,
}

/// The directory that [`Storage::make`] made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its identity.
    pub identity: Identity,
    /// Its permission bits. They are others than those asked for if the server does not let them be set, or does not keep them.
    pub mode: u32,
    /// Whether this call made it. If an answer was lost, a directory that exists afterwards counts as made by this call; with
    /// [`Existing::SetAttributes`] it may have existed before.
    pub new: bool,
}

impl Made {
    fn of(found: &Found, new: bool) -> Self {
        let Found { identity, mode, .. } = *found;
        Self { identity, mode, new }
    }
}

/// The result of [`Storage::rename`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// It is at the new place, moved by this call or by an earlier one.
    Done,
    /// Nothing is at the old place, and it is not at the new one.
    Missing,
    /// Another directory is at the old place and stays there; the expected one is not at the new place.
    Another(Identity),
}

/// The result of [`Storage::remove_empty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone.
    Done,
    /// It does not exist: an earlier try may have removed it.
    Missing,
    /// Something is in it; it stays.
    NotEmpty,
    /// Another directory is at the place; it stays.
    Another(Identity),
}

/// The result of [`Storage::remove_tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// It is gone, or has never existed.
    Gone,
    /// The deadline came first; call again.
    Remains,
}

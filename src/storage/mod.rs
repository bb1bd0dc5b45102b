//! The storage verbs: what Bindery does on an NFS server, as a trait.
//!
//! Every implementation of a verb keeps these promises:
//! - **Place.** A verb changes nothing outside the share and follows no symbolic link below it: the types of
//!   [`crate::model::directory`] cannot name such a place, and a link or a file in the path is [`Fault::NotADirectory`].
//! - **Time.** A verb returns at `deadline` at the latest, also if the server does not answer.
//! - **Repetition.** A verb may be repeated after any failure or crash. If a repetition changes the result, the verb says
//!   so.
//! - **Late calls.** After an error with [`Outcome::Unknown`] the server may still carry the call out. If the protocol can
//!   prevent that, the implementation does so before the next verb on that server starts (NFSv4.1: it destroys the session,
//!   and a late COMPOUND gets BADSESSION). Only removals inside the tree of [`Storage::remove_tree`] may take effect late.
//!   A process that crashed leaves such calls, too. They end when the next process of the same name opens its first session.
//!   NFSv3 and the file system calls of [`mounted`] cannot prevent late calls: they may take effect at any time, so the
//!   records about them must be kept.

mod attempt;
mod attributes;
mod client;
mod errno;
mod error;
mod forward;
mod listing;
mod measurement;
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
pub use self::measurement::{Measured, Measurement, Pace, Used};
pub use self::router::Storages;
pub use self::trash_roots::trash_roots;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;
pub use crate::model::space::{FileSpace, Space};

/// The verbs. The module lists the promises of all of them.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Returns the endpoint through which a share is reached. Sends nothing.
    fn endpoint(&self, share: &Share) -> Endpoint {
        Endpoint::nfs(share)
    }

    /// Looks up a directory. Returns `None` if it does not exist.
    async fn look_up(
        &self,
        share: &Share,
        directory: &Directory,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError>;

    /// Identifies the file system of the share. Reads only the root of the share.
    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError>;

    /// Looks up the nearest existing directory above `directory`: its parent, or if that is missing the next one above, up
    /// to the root of the share. Its file system shows whether a server without `directory` still has the same disk.
    async fn above(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Found, StorageError>;

    /// Makes `directory` and its missing parents (mode 0755, the server's default owner).
    ///
    /// After success it has exactly `attributes`, without a umask, unless it existed before and `existing` says to leave it
    /// alone. Only the mode may differ, if the server does not let it be set or does not keep it. A repeated call finds the
    /// directory of the first one (`new: false`). After [`Outcome::NotDone`] no directory of this call is left, except for
    /// parents.
    async fn make(
        &self,
        share: &Share,
        directory: &Directory,
        attributes: Attributes,
        existing: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError>;

    /// Moves the directory at `from` to `to`, if its identity is `expected`. The check and the rename are one request to the
    /// server. If the protocol cannot do that, a directory with another identity is moved back. The parent of `to` must
    /// exist. `to` must not exist: a server replaces an empty directory without an error. If a repeated call finds the
    /// directory at `to`, it succeeds, too.
    async fn rename(
        &self,
        share: &Share,
        from: &Directory,
        expected: Identity,
        to: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError>;

    /// Sets the attributes of the directory, if its identity is `expected`. Only the mode may differ afterwards, as for
    /// [`Storage::make`]. Returns the directory as it is then; `None` if it does not exist or is another one.
    async fn set_attributes(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        attributes: Attributes,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError>;

    /// Removes the directory if its identity is `expected` and it is empty.
    async fn remove_empty(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError>;

    /// Removes the directory with all its content, until `deadline`. After [`Tree::Remains`] the caller must call it again.
    /// Links are removed and not followed. Another file system mounted in the tree is not entered. A missing directory is a
    /// success.
    async fn remove_tree(&self, share: &Share, directory: &Directory, deadline: Instant) -> Result<Tree, StorageError>;

    /// Lists the names in a directory of the share (`None`: in its root), in no order. Leaves out names that are not UTF-8,
    /// because Bindery makes none. A missing directory has no names.
    async fn list(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Vec<String>, StorageError>;

    /// Returns the space of the file system of the share, or of a directory of it. `None` if the server does not tell, or the
    /// directory does not exist. A directory with a limit of its own may have another space than its share.
    async fn space(
        &self,
        share: &Share,
        directory: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Option<Space>, StorageError>;

    /// Limits the size of a directory with this identity, if the storage can do that: only a `CephFS` mount can. A larger
    /// limit stays as it is.
    async fn limit_size(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        bytes: u64,
        existing: ExistingLimit,
        deadline: Instant,
    ) -> Result<(), StorageError>;

    /// Counts the files of a directory with this identity, and the space that they use. `measurement` keeps what was counted
    /// so far: after [`Measured::Remains`] the caller must call it again. Waits for `pace` before each call to the server.
    /// Another file system mounted in the tree and snapshots are not counted.
    async fn measure(
        &self,
        share: &Share,
        directory: &Directory,
        expected: Identity,
        measurement: &Measurement,
        pace: &dyn Pace,
        deadline: Instant,
    ) -> Result<Measured, StorageError>;
}

/// Which limits [`Storage::limit_size`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExistingLimit {
    /// A directory without a limit gets one; a smaller one is raised.
    SetOrRaise,
    /// A limit that is smaller is raised. A directory without a limit gets none.
    RaiseOnly,
}

impl ExistingLimit {
    /// Returns how the limit of a directory is set. `new`: Bindery created the directory. The files of an adopted one may
    /// already need more than its claim requests.
    pub fn of(new: bool) -> Self {
        if new { Self::SetOrRaise } else { Self::RaiseOnly }
    }
}

/// A directory that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its identity.
    pub identity: Identity,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner; `None` if the server sends a name, or nothing.
    pub uid: Option<u32>,
    /// Its group; `None` as for the owner.
    pub gid: Option<u32>,
    /// When it was changed last; `None` if the server does not tell.
    pub changed: Option<ChangeTime>,
}

/// The time of the last change of a file or of its attributes (ctime), by the clock of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds.
    pub nanoseconds: u32,
}

impl Found {
    /// Returns whether it has these attributes. Attributes that are `None` are not compared.
    pub fn has(&self, wanted: Attributes) -> bool {
        let is = |found: Option<u32>, wanted: Option<u32>| wanted.is_none() || found == wanted;
        is(Some(self.mode), wanted.mode) && is(self.uid, wanted.uid) && is(self.gid, wanted.gid)
    }

    /// Returns owner and group as text.
    pub fn owner(&self) -> String {
        let id = |id: Option<u32>| id.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        format!("{}:{}", id(self.uid), id(self.gid))
    }
}

/// What [`Storage::make`] does with a directory that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Set its attributes: an earlier attempt has made it.
    SetAttributes,
    /// Keep its owner and mode: it may be in use.
    LeaveAlone,
}

/// The directory that [`Storage::make`] made or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its identity.
    pub identity: Identity,
    /// Its permission bits. They differ from the wanted ones if the server does not let them be set, or does not keep them.
    pub mode: u32,
    /// Whether this call made it. If an answer was lost, a directory that exists afterwards counts as made by this call.
    /// With [`Existing::SetAttributes`] it may have existed before.
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
    /// The directory is at the new path, moved by this call or by an earlier one.
    Done,
    /// The old path does not exist, and the directory is not at the new path.
    Missing,
    /// Another directory is at the old path and stays there. The expected one is not at the new path.
    Another(Identity),
}

/// The result of [`Storage::remove_empty`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// The directory is removed.
    Done,
    /// It does not exist: an earlier attempt may have removed it.
    Missing,
    /// It is not empty, and stays.
    NotEmpty,
    /// Another directory is at the path, and stays.
    Another(Identity),
}

/// The result of [`Storage::remove_tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    /// The tree is gone, or has never existed.
    Gone,
    /// A part is left at the deadline; call again.
    Remains,
}

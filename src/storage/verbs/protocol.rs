//! The calls that verbs consist of. Each kind of storage implements them.

use std::sync::Arc;

use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::View;
use crate::storage::attempt::{Attempt, RoundError, Transport};
use crate::storage::attributes::AttributeError;
pub(in crate::storage) use crate::storage::listing::{Name, ObjectSize, Position};
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::{ExistingLimit, Found, Moved, Removed, Space};

/// The answer to a call: its result, or the status with which the server refused it. The outer error ends the round.
pub(in crate::storage) type Answer<T> = Result<Result<T, Status>, RoundError>;

/// The attributes of a file, directory or other object on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct File {
    pub is_directory: bool,
    pub found: Found,
    /// `None` if the server does not tell.
    pub size: Option<ObjectSize>,
}

impl File {
    pub fn with_handle<H>(self, handle: H) -> FsObject<H> {
        let Self {
            is_directory,
            found,
            size,
        } = self;
        FsObject {
            handle,
            is_directory,
            found,
            size,
        }
    }
}

/// A file, directory or other object on the server.
#[derive(Clone, Debug)]
pub(in crate::storage) struct FsObject<H> {
    pub handle: H,
    pub is_directory: bool,
    pub found: Found,
    /// `None` if the server does not tell.
    pub size: Option<ObjectSize>,
}

/// The result of a walk through a path.
pub(in crate::storage) enum Walk<H> {
    /// The directory at the end of the path.
    Found(FsObject<H>),
    /// The number of the segment that is missing.
    Missing(usize),
}

/// A part of the names in a directory, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Page {
    pub entries: Vec<Entry>,
    /// The position of the next page.
    pub next: Position,
    /// Whether this is the last page.
    pub last: bool,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Entry {
    pub name: Name,
    /// `None` if the server does not tell.
    pub is_directory: Option<bool>,
    /// `None` if it was not asked for, or the server does not tell.
    pub size: Option<ObjectSize>,
}

/// The result of a call that makes a directory.
pub(in crate::storage) enum Created<H> {
    /// This call made it, with the wanted attributes.
    New(FsObject<H>),
    /// The name existed already.
    Exists,
}

/// The kind of objects that are removed from a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Target {
    /// Files, links and all other objects that are not directories.
    Files,
    /// Empty directories inside a tree that is removed.
    Directories,
    /// The top of a tree, or another single directory; empty. Another directory may get its name later, so the call must not
    /// take effect late.
    Tree,
}

/// The number of names that a call has removed, and the status at which it stopped.
pub(in crate::storage) struct RemovedNames {
    pub count: usize,
    pub stopped: Option<Status>,
}

/// One kind of storage, on one server or on one share of it.
pub(in crate::storage) trait Protocol: Transport {
    /// The configuration that all servers of one client share.
    type Config: Send + Sync;
    /// The handle of a file on the server.
    type Handle: Clone + Send + Sync + 'static;

    /// How this kind of storage shows identities.
    const VIEW: View;
    /// The most names that one call can remove.
    const MAX_REMOVES: usize;
    /// The most directories that the removal of a tree remembers.
    const MAX_DIRECTORIES: usize = 1024;
    /// Whether the call that moves or removes a directory also checks its identity.
    const CHECKS_IDENTITY: bool;
    /// Whether a wrong directory at the new path is an error: a rename that was interrupted may have moved it there.
    const RENAME_MAY_MISPLACE: bool;

    /// Returns a key that is equal for shares with one client: the server, or the share itself.
    fn key(share: &Share) -> String;
    /// Creates a client without connections. Must be called in a Tokio runtime.
    fn start(share: &Share, config: &Self::Config) -> Arc<Self>;
    /// Returns the endpoint of a share.
    fn endpoint(share: &Share) -> Endpoint {
        Endpoint::nfs(share)
    }
    /// Returns the id of the server that got the latest call, if the protocol has one.
    fn server_id(&self) -> Option<Uuid> {
        None
    }
    /// Returns the limit of the calls of all tree removals together.
    fn removals(&self) -> &Semaphore;
    /// Returns how many of the names one call can remove.
    fn fit(&self, names: &[&[u8]]) -> usize {
        names.len()
    }
    /// Returns whether an object is on the same file system as a directory above it.
    fn is_on_same_system(parent: &FsObject<Self::Handle>, object: &FsObject<Self::Handle>) -> bool {
        parent.found.identity.fsid == object.found.identity.fsid
    }

    /// Walks from the root of the share through the names `below`. Follows no link. The result is a directory.
    fn walk(
        attempt: &Attempt<'_, Self>,
        below: &[&str],
    ) -> impl Future<Output = Result<Walk<Self::Handle>, RoundError>> + Send;
    /// Looks up a name in a directory. Follows no link.
    fn look_up(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        name: &[u8],
    ) -> impl Future<Output = Answer<FsObject<Self::Handle>>> + Send;
    /// Reads a page of names.
    fn page(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        from: Position,
    ) -> impl Future<Output = Answer<Page>> + Send;
    /// Reads the first page of a directory, with the type of each object if the server tells it.
    fn first_page(attempt: &Attempt<'_, Self>, directory: &Self::Handle) -> impl Future<Output = Answer<Page>> + Send {
        Self::page(attempt, directory, Position::default())
    }
    /// Reads a page of names with the sizes of the objects.
    fn page_with_sizes(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        from: Position,
    ) -> impl Future<Output = Answer<Page>> + Send;
    /// Makes a directory with these attributes. If they cannot be set, it is removed again. Only the mode may differ, if the
    /// server does not let it be set.
    fn create(
        attempt: &Attempt<'_, Self>,
        parent: &Self::Handle,
        name: &str,
        wanted: Attributes,
    ) -> impl Future<Output = Result<Created<Self::Handle>, RoundError>> + Send;
    /// Sets the attributes of a directory. The mode may differ afterwards.
    fn set_attributes(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        wanted: Attributes,
    ) -> impl Future<Output = Result<Result<Found, AttributeError>, RoundError>> + Send;
    /// Sets mode 0700. Returns whether that succeeded.
    fn make_accessible(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
    ) -> impl Future<Output = Result<bool, RoundError>> + Send;
    /// Moves a directory from one parent to another one, if its identity is `expected`.
    fn rename(
        attempt: &Attempt<'_, Self>,
        from: (&Self::Handle, &Directory),
        expected: Identity,
        to: (&Self::Handle, &Directory),
    ) -> impl Future<Output = Result<Moved, RoundError>> + Send;
    /// Removes an empty directory, if its identity is `expected`.
    fn remove_empty(
        attempt: &Attempt<'_, Self>,
        parent: &Self::Handle,
        name: &str,
        _expected: Identity,
    ) -> impl Future<Output = Result<Removed, RoundError>> + Send {
        async move {
            let removed = Self::remove(attempt, parent, &[name.as_bytes()], Target::Tree).await?;
            match removed.stopped {
                None => Ok(Removed::Done),
                Some(Status::NOENT) => Ok(Removed::Missing),
                // Some file systems say EXIST.
                Some(Status::NOTEMPTY | Status::EXIST) => Ok(Removed::NotEmpty),
                Some(status @ Status::NOTDIR) => Err(attempt.refused(Action::Segment(name), status)),
                Some(status) => Err(attempt.refused(Action::Remove, status)),
            }
        }
    }
    /// Removes names from a directory, in this order.
    fn remove(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        names: &[&[u8]],
        target: Target,
    ) -> impl Future<Output = Result<RemovedNames, RoundError>> + Send;
    /// Limits the size of a directory. The answer is NOTSUPP if this storage cannot do that.
    fn limit_size(
        _attempt: &Attempt<'_, Self>,
        _directory: &Self::Handle,
        _bytes: u64,
        _existing: ExistingLimit,
    ) -> impl Future<Output = Answer<()>> + Send {
        async { Ok(Err(Status::NOTSUPP)) }
    }
    /// Reads the space of the file system that contains a directory. `None` if the server does not tell.
    fn space(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
    ) -> impl Future<Output = Answer<Option<Space>>> + Send;
}

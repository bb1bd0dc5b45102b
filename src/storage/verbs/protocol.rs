//! The calls that the verbs are made of, as each kind of storage makes them.

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
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::{Found, Moved, Removed};

/// The name of a file: bytes, as the server stores them.
pub(in crate::storage) type Name = Vec<u8>;

/// What a call came to: its result, or the status with which the server refused it. The outer error ends the round.
pub(in crate::storage) type Answer<T> = Result<Result<T, Status>, RoundError>;

/// The attributes of a file, directory or other object on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct File {
    pub is_directory: bool,
    pub found: Found,
}

impl File {
    pub fn with_handle<H>(self, handle: H) -> FsObject<H> {
        let Self { is_directory, found } = self;
        FsObject {
            handle,
            is_directory,
            found,
        }
    }
}

/// A file, directory or other object on the server.
#[derive(Clone, Debug)]
pub(in crate::storage) struct FsObject<H> {
    pub handle: H,
    pub is_directory: bool,
    pub found: Found,
}

/// Where a path leads.
pub(in crate::storage) enum Walk<H> {
    /// To this directory.
    Found(FsObject<H>),
    /// To nothing: the segment with this number is missing.
    Missing(usize),
}

/// Where a page of a directory begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Position {
    pub cookie: u64,
    pub verifier: [u8; 8],
}

/// A part of the names in a directory, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Page {
    pub entries: Vec<Entry>,
    /// Where the next page begins.
    pub next: Position,
    /// Whether this is the last page.
    pub last: bool,
}

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Entry {
    pub name: Name,
    /// `None`: the server does not say.
    pub is_directory: Option<bool>,
}

/// What a call that makes a directory came to.
pub(in crate::storage) enum Created<H> {
    /// This call made it, with the attributes that were asked for.
    New(FsObject<H>),
    /// Something of that name was there.
    Exists,
}

/// What is to be removed from a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Target {
    /// What is not a directory.
    Files,
    /// Empty directories inside a tree that is removed.
    Directories,
    /// The tree itself, empty. Its name may belong to something else later, so the call must not take effect late.
    Tree,
}

/// How many names a call has removed, and the status at which it stopped.
pub(in crate::storage) struct RemovedNames {
    pub count: usize,
    pub stopped: Option<Status>,
}

/// One kind of storage, on one server or on one share of it.
pub(in crate::storage) trait Protocol: Transport {
    /// What all servers of one client have in common.
    type Config: Send + Sync;
    /// What the server calls a file.
    type Handle: Clone + Send + Sync + 'static;

    /// How identities are to be read that this version shows.
    const VIEW: View;
    /// How many names one call can remove.
    const MAX_REMOVES: usize;
    /// How many directories the removal of a tree remembers.
    const MAX_DIRECTORIES: usize = 1024;
    /// Whether a call that moves or removes a directory compares its identity itself.
    const CHECKS_IDENTITY: bool;
    /// Whether a directory may be replaced by another one between the check and the rename, so that the other one is moved.
    const RENAME_MAY_MISPLACE: bool;

    /// Returns the key of what a share has in common with others: a server, or nothing.
    fn key(share: &Share) -> String;
    /// Creates a client without connections. To be called in a Tokio runtime.
    fn start(share: &Share, config: &Self::Config) -> Arc<Self>;
    /// Returns through what a share is reached.
    fn endpoint(share: &Share) -> Endpoint {
        Endpoint::nfs(share)
    }
    /// Returns which server the latest call went to, if the protocol tells.
    fn server_id(&self) -> Option<Uuid> {
        None
    }
    /// Limits the calls that remove trees, over all trees.
    fn removals(&self) -> &Semaphore;
    /// Returns how many of the names one call can remove.
    fn fit(&self, names: &[&[u8]]) -> usize {
        names.len()
    }
    /// Whether an object is on the file system of the directory that it is in.
    fn is_on_same_system(parent: &FsObject<Self::Handle>, object: &FsObject<Self::Handle>) -> bool {
        parent.found.identity.fsid == object.found.identity.fsid
    }

    /// Walks from the share's directory through `below`, and follows no link. What is found is a directory.
    fn walk(
        attempt: &Attempt<'_, Self>,
        below: &[&str],
    ) -> impl Future<Output = Result<Walk<Self::Handle>, RoundError>> + Send;
    /// Looks up a name in a directory, and follows no link.
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
    /// Reads the first page of a directory, with what each name is where the server says so.
    fn first_page(attempt: &Attempt<'_, Self>, directory: &Self::Handle) -> impl Future<Output = Answer<Page>> + Send {
        Self::page(attempt, directory, Position::default())
    }
    /// Makes a directory with these attributes. If it cannot be given them, it is removed again; only the mode may be another
    /// one, where the server does not let it be set.
    fn create(
        attempt: &Attempt<'_, Self>,
        parent: &Self::Handle,
        name: &str,
        wanted: Attributes,
    ) -> impl Future<Output = Result<Created<Self::Handle>, RoundError>> + Send;
    /// Gives a directory these attributes. The mode may be another one afterwards.
    fn set_attributes(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
        wanted: Attributes,
    ) -> impl Future<Output = Result<Result<Found, AttributeError>, RoundError>> + Send;
    /// Gives a directory mode 0700. Returns whether it has it.
    fn make_accessible(
        attempt: &Attempt<'_, Self>,
        directory: &Self::Handle,
    ) -> impl Future<Output = Result<bool, RoundError>> + Send;
    /// Moves a directory from one parent to another one, if it is the one with identity `expected`.
    fn rename(
        attempt: &Attempt<'_, Self>,
        from: (&Self::Handle, &Directory),
        expected: Identity,
        to: (&Self::Handle, &Directory),
    ) -> impl Future<Output = Result<Moved, RoundError>> + Send;
    /// Removes an empty directory, if it is the one with identity `expected`.
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
}

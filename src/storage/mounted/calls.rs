//! The calls of the verbs on a mount.
//!
//! Each name is opened as a directory; at a link or a file the walk stops. Later calls use the descriptor. So they reach the
//! directory that was found, even if something above it is moved or replaced in between.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::file::space;
use super::limit::limit_size;
use super::make::{make, set_attributes, set_mode};
use super::mount::Mount;
use super::open_directory::OpenDirectory;
use super::page::page_with_sizes;
use super::rename::rename;
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::endpoint::Endpoint;
use crate::model::identity::Identity;
use crate::model::share_id::View;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::attributes::AttributeError;
use crate::storage::refusal::{Action, MAX_NAMES};
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{
    Answer, Created, Entry, FsObject, Page, Position, Protocol, RemovedNames, Target, Walk,
};
use crate::storage::{ExistingLimit, Found, Moved, Space, mount_messages};

/// An open directory. It stays the same directory until it is closed.
type Handle = Arc<OpenDirectory>;

/// The most names of a directory that a tree removal reads at a time.
const PAGE: usize = 1024;

impl Protocol for Mount {
    type Config = Vec<(Share, PathBuf)>;
    type Handle = Handle;

    const VIEW: View = View::Mounted;
    const MAX_REMOVES: usize = 256;
    /// The most descriptors that a removal keeps open: a process may have 1024, and 16 verbs run on each mount.
    const MAX_DIRECTORIES: usize = 32;
    const CHECKS_IDENTITY: bool = false;
    const RENAME_MAY_MISPLACE: bool = false;

    fn key(share: &Share) -> String {
        share.to_string()
    }

    /// A share that is not mounted gets an empty path, so that each call fails.
    fn start(share: &Share, config: &Self::Config) -> Arc<Self> {
        let mut mounts = config.iter();
        let path = mounts.find_map(|(mounted, path)| (Self::key(mounted) == Self::key(share)).then_some(path));
        Arc::new(Self::new(path.cloned().unwrap_or_default()))
    }

    fn removals(&self) -> &Semaphore {
        &self.removals
    }

    fn endpoint(share: &Share) -> Endpoint {
        Endpoint::mount(share)
    }

    fn is_on_same_system(parent: &FsObject<Handle>, object: &FsObject<Handle>) -> bool {
        let (parent, file) = (&parent.handle.file, &object.handle.file);
        // A bind mount of the same file system has the same device.
        file.device == parent.device && file.mounted != Some(true)
    }

    async fn walk(attempt: &Attempt<'_, Self>, below: &[&str]) -> Result<Walk<Handle>, RoundError> {
        let mount = attempt.server.clone();
        let opened = attempt.call(move |_| Ok(mount.open())).await?;
        match opened.and_then(|opened| opened.map_err(Status::from)) {
            Ok(Some(root)) => attempt.walk_from(object(root), below).await,
            Ok(None) => Err(attempt.fails(mount_messages::not_mounted(&attempt.context()))),
            Err(status) => Err(attempt.refused(Action::Share(""), status)),
        }
    }

    async fn look_up(attempt: &Attempt<'_, Self>, directory: &Handle, name: &[u8]) -> Answer<FsObject<Handle>> {
        let (directory, name) = (directory.clone(), OsStr::from_bytes(name).to_owned());
        let opened = attempt.call(move |_| Ok(directory.below(&name)?)).await?;
        Ok(opened.map(object))
    }

    async fn page(attempt: &Attempt<'_, Self>, directory: &Handle, _: Position) -> Answer<Page> {
        attempt.names(directory, MAX_NAMES + 1).await
    }

    async fn first_page(attempt: &Attempt<'_, Self>, directory: &Handle) -> Answer<Page> {
        attempt.names(directory, PAGE).await
    }

    async fn page_with_sizes(attempt: &Attempt<'_, Self>, directory: &Handle, from: Position) -> Answer<Page> {
        let directory = directory.clone();
        attempt
            .call(move |caller| page_with_sizes(&directory.dir, from, || caller.is_abandoned()))
            .await
    }

    async fn create(
        attempt: &Attempt<'_, Self>,
        parent: &Handle,
        name: &str,
        wanted: Attributes,
    ) -> Result<Created<Handle>, RoundError> {
        let (parent, name) = (parent.clone(), name.to_owned());
        match attempt.call(move |caller| make(caller, &parent, &name, wanted)).await? {
            Ok(Ok(made)) => Ok(Created::New(object(made))),
            Ok(Err(error)) => Err(attempt.wrong_attributes(&error)),
            Err(Status::EXIST) => Ok(Created::Exists),
            // The parent was removed after the walk, or another program has replaced the directory.
            Err(status @ (Status::NOENT | Status::NOTDIR)) => Err(RoundError::Retry(RetryReason::Changed(status))),
            Err(status) => Err(attempt.refused(Action::Make, status)),
        }
    }

    async fn set_attributes(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        wanted: Attributes,
    ) -> Result<Result<Found, AttributeError>, RoundError> {
        let directory = directory.clone();
        let set = attempt.call(move |caller| set_attributes(caller, &directory, wanted));
        match set.await? {
            Ok(set) => Ok(set.map(|file| file.found)),
            Err(status) => Err(attempt.refused(Action::SetMode, status)),
        }
    }

    async fn make_accessible(attempt: &Attempt<'_, Self>, directory: &Handle) -> Result<bool, RoundError> {
        let directory = directory.clone();
        let set = attempt.call(move |caller| caller.change(|| set_mode(&directory.dir, 0o700))?);
        Ok(set.await?.is_ok())
    }

    async fn rename(
        attempt: &Attempt<'_, Self>,
        (source, from): (&Handle, &Directory),
        expected: Identity,
        (target, to): (&Handle, &Directory),
    ) -> Result<Moved, RoundError> {
        let (source, target) = (source.clone(), target.clone());
        let [old, new] = [from, to].map(|directory| directory.split_last().1.to_owned());
        let renamed = attempt.call(move |caller| rename(caller, (&source, &old), expected, (&target, &new)));
        match renamed.await? {
            Ok(Some(moved)) => Ok(moved),
            Ok(None) => Err(attempt.misplaced(from, to)),
            // The source or the target was removed after the look-ups; the next round finds out which.
            Err(status @ (Status::NOENT | Status::NOTDIR)) => Err(RoundError::Retry(RetryReason::Changed(status))),
            Err(status) => Err(attempt.refused(Action::Rename, status)),
        }
    }

    async fn remove(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        names: &[&[u8]],
        target: Target,
    ) -> Result<RemovedNames, RoundError> {
        let directory = directory.clone();
        let names: Vec<OsString> = names.iter().map(|name| OsStr::from_bytes(name).to_owned()).collect();
        let removed = attempt.call(move |caller| {
            for (count, name) in names.iter().enumerate() {
                let done = caller.change(|| match target {
                    Target::Files => directory.dir.remove_file(name),
                    Target::Directories | Target::Tree => directory.dir.remove_dir(name),
                })?;
                match done {
                    Ok(()) => {}
                    Err(status) if status.stale_handle() => return Err(status),
                    Err(status) => {
                        let stopped = Some(status);
                        return Ok(RemovedNames { count, stopped });
                    }
                }
            }
            let count = names.len();
            Ok(RemovedNames { count, stopped: None })
        });
        removed.await?.map_err(|status| attempt.refused(Action::Remove, status))
    }

    async fn limit_size(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        bytes: u64,
        existing: ExistingLimit,
    ) -> Answer<()> {
        let directory = directory.clone();
        attempt
            .call(move |caller| limit_size(caller, &directory.dir, bytes, existing))
            .await
    }

    async fn space(attempt: &Attempt<'_, Self>, directory: &Handle) -> Answer<Option<Space>> {
        let directory = directory.clone();
        attempt.call(move |_| Ok(Some(space(&directory.dir)?))).await
    }
}

impl Attempt<'_, Mount> {
    /// Reads the first names of a directory.
    async fn names(&self, directory: &Handle, most: usize) -> Answer<Page> {
        let directory = directory.clone();
        self.call(move |caller| {
            let mut entries = Vec::new();
            let mut last = true;
            for entry in directory.dir.entries()? {
                let entry = entry?;
                if entries.len() == most || caller.is_abandoned() {
                    last = false;
                    break;
                }
                entries.push(Entry {
                    name: entry.file_name().into_vec(),
                    is_directory: entry.file_type().ok().map(|kind| kind.is_dir()),
                    size: None,
                });
            }
            let next = Position::default();
            Ok(Page { entries, next, last })
        })
        .await
    }
}

fn object(opened: OpenDirectory) -> FsObject<Handle> {
    FsObject {
        found: opened.file.found,
        size: Some(opened.file.size()),
        is_directory: true,
        handle: Arc::new(opened),
    }
}

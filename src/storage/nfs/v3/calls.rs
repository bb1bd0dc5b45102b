//! The calls of the verbs in version 3.
//!
//! LOOKUP follows no symbolic link: its reply has the type of the object, and a walk stops at a link (RFC 1813, 3.3.3).
//! Operations in a directory use its file handle. Handles are not kept from one verb to the next, because the server may
//! forget them.
//!
//! Version 3 cannot check and change in one call. So the identity is checked right before a directory is moved, and again at
//! its new path. A wrong directory is moved back. The target is checked first, because RENAME would replace an empty
//! directory without an error (RFC 1813, 3.3.14).

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::pool::Pool;
use super::procedure::{Call, Handle, Reply, has_valid_length};
use crate::model::attributes::Attributes;
use crate::model::directory::{Directory, Share};
use crate::model::identity::Identity;
use crate::model::share_id::View;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::attributes::AttributeError;
use crate::storage::attributes::Change;
use crate::storage::nfs::options::ClientConfig;
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{
    Answer, Created, File, FsObject, Page, Position, Protocol, RemovedNames, Target, Walk,
};
use crate::storage::{Found, Moved, Space};

impl Protocol for Pool {
    type Config = ClientConfig;
    type Handle = Handle;

    const VIEW: View = View::V3;
    const MAX_REMOVES: usize = 1;
    const CHECKS_IDENTITY: bool = false;
    const RENAME_MAY_MISPLACE: bool = true;

    fn key(share: &Share) -> String {
        share.to_string()
    }

    fn start(share: &Share, config: &ClientConfig) -> Arc<Self> {
        Self::new(share, config.options.clone())
    }

    fn removals(&self) -> &Semaphore {
        &self.removals
    }

    async fn walk(attempt: &Attempt<'_, Self>, below: &[&str]) -> Result<Walk<Handle>, RoundError> {
        let handle = attempt.root().await?;
        let file = attempt.file(&handle, Action::Share("/")).await?;
        let root = file.with_handle(handle);
        attempt.require_directory(&root, Action::Share("/"))?;
        attempt.walk_from(root, below).await
    }

    async fn look_up(attempt: &Attempt<'_, Self>, directory: &Handle, name: &[u8]) -> Answer<FsObject<Handle>> {
        let (handle, file) = match attempt.send(Call::Lookup(directory, name)).await? {
            Ok(Reply::Object(Some(handle), file)) if has_valid_length(&handle) => (handle, file),
            Ok(_) => return Err(attempt.incomplete()),
            Err(status) => return Ok(Err(status)),
        };
        // Servers need not send the attributes along with the handle.
        let file = if let Some(file) = file {
            file
        } else {
            let name = String::from_utf8_lossy(name);
            attempt.file(&handle, Action::Segment(&name)).await?
        };
        Ok(Ok(file.with_handle(handle)))
    }

    async fn page(attempt: &Attempt<'_, Self>, directory: &Handle, from: Position) -> Answer<Page> {
        let answer = attempt.send(Call::ReadDir(directory, from)).await?;
        attempt.page_of(answer, from)
    }

    async fn first_page(attempt: &Attempt<'_, Self>, directory: &Handle) -> Answer<Page> {
        Self::page_with_sizes(attempt, directory, Position::default()).await
    }

    async fn page_with_sizes(attempt: &Attempt<'_, Self>, directory: &Handle, from: Position) -> Answer<Page> {
        let answer = match attempt.send(Call::ReadDirPlus(directory, from)).await? {
            // Not every server supports READDIRPLUS, and some not for every directory.
            Err(Status::NOTSUPP) => attempt.send(Call::ReadDir(directory, from)).await?,
            answer => answer,
        };
        attempt.page_of(answer, from)
    }

    async fn create(
        attempt: &Attempt<'_, Self>,
        parent: &Handle,
        name: &str,
        wanted: Attributes,
    ) -> Result<Created<Handle>, RoundError> {
        attempt.create_directory(parent, name, wanted).await
    }

    async fn set_attributes(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        wanted: Attributes,
    ) -> Result<Result<Found, AttributeError>, RoundError> {
        attempt.set(directory, wanted).await
    }

    async fn make_accessible(attempt: &Attempt<'_, Self>, directory: &Handle) -> Result<bool, RoundError> {
        let call = Call::SetAttr(directory, Change::mode(0o700));
        Ok(attempt.send(call).await?.is_ok())
    }

    async fn rename(
        attempt: &Attempt<'_, Self>,
        (source, from): (&Handle, &Directory),
        expected: Identity,
        (target, to): (&Handle, &Directory),
    ) -> Result<Moved, RoundError> {
        let ((_, old), (_, new)) = (from.split_last(), to.split_last());
        if attempt.look_up_in(target, new).await?.is_some() {
            return Err(attempt.refused(Action::Rename, Status::EXIST));
        }
        attempt.move_one([source, target], [old, new]).await?;
        attempt.partly_done(true);
        let Some(moved) = attempt.look_up_in(target, new).await? else {
            return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
        };
        let moved = moved.found.identity;
        if moved != expected {
            // It has replaced the expected directory after the check.
            if attempt.look_up_in(source, old).await?.is_some() {
                return Err(attempt.misplaced(from, to));
            }
            attempt.move_one([target, source], [new, old]).await?;
        }
        attempt.partly_done(false);
        Ok(if moved == expected {
            Moved::Done
        } else {
            Moved::Another(moved)
        })
    }

    async fn remove(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        names: &[&[u8]],
        target: Target,
    ) -> Result<RemovedNames, RoundError> {
        let mut count = 0;
        for name in names {
            let call = match target {
                Target::Files => Call::Remove(directory, name),
                Target::Directories | Target::Tree => Call::RmDir(directory, name),
            };
            if let Err(status) = attempt.send(call).await? {
                let stopped = Some(status);
                return Ok(RemovedNames { count, stopped });
            }
            count += 1;
        }
        Ok(RemovedNames { count, stopped: None })
    }

    async fn space(attempt: &Attempt<'_, Self>, directory: &Handle) -> Answer<Option<Space>> {
        match attempt.send(Call::FsStat(directory)).await? {
            Ok(Reply::Space(space)) => Ok(Ok(Some(space))),
            Ok(_) => Err(attempt.incomplete()),
            Err(status) => Ok(Err(status)),
        }
    }
}

impl Attempt<'_, Pool> {
    /// Returns the attributes of the object with this handle.
    pub async fn file(&self, handle: &Handle, action: Action<'_>) -> Result<File, RoundError> {
        match self.send(Call::GetAttr(handle)).await? {
            Ok(Reply::File(Some(file))) => Ok(file),
            Ok(_) => Err(self.incomplete()),
            Err(status) => Err(self.refused(action, status)),
        }
    }

    fn page_of(&self, answer: Result<Reply, Status>, from: Position) -> Answer<Page> {
        match answer {
            // The page has no position to continue from. If it counted as the last one, names would be missing.
            Ok(Reply::Page(page)) if !page.last && page.next.cookie == from.cookie => {
                Err(self.malformed("a page of a directory is empty and not the last"))
            }
            Ok(Reply::Page(page)) => Ok(Ok(page)),
            Ok(Reply::File(_) | Reply::Object(..) | Reply::Space(_)) => Err(self.incomplete()),
            Err(status) => Ok(Err(status)),
        }
    }

    async fn move_one(&self, directories: [&Handle; 2], names: [&str; 2]) -> Result<(), RoundError> {
        match self.send(Call::Rename(directories, names)).await? {
            Ok(_) => Ok(()),
            // The source or the target was removed after the look-ups; the next round finds out which.
            Err(Status::NOENT) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
            Err(status) => Err(self.refused(Action::Rename, status)),
        }
    }
}

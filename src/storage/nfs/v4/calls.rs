//! The calls of the verbs in version 4. Each is one COMPOUND, or several if the server's limits require that.
//!
//! LOOKUP follows no symbolic link: the next LOOKUP stops at a link, as it does at a file (RFC 8881, 18.13). Operations in a
//! directory use its file handle, in a COMPOUND of their own. So a walk may need several calls, and its errors can be told
//! from those of the operation. VERIFY compares the identity in the same COMPOUND as the operation (18.31): if another
//! directory has replaced the expected one, the server stops there. File handles are not kept from one verb to the next,
//! because the server may forget them.

use std::sync::Arc;

use tokio::sync::Semaphore;
use uuid::Uuid;

use super::compound::{Reply, Stopped};
use super::operation::{Handle, Op};
use super::pool::Late;
use super::server::Server;
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
    Answer, Created, FsObject, Page, Position, Protocol, RemovedNames, Target, Walk,
};
use crate::storage::{Found, Moved, Removed, Space};

/// The largest page that READDIR asks for, in bytes.
const LARGEST_PAGE: u32 = 32 * 1024;

impl Protocol for Server {
    type Config = ClientConfig;
    type Handle = Handle;

    const VIEW: View = View::V4;
    const MAX_REMOVES: usize = 32;
    const CHECKS_IDENTITY: bool = true;
    const RENAME_MAY_MISPLACE: bool = false;

    fn key(share: &Share) -> String {
        share.server().to_owned()
    }

    fn start(share: &Share, config: &ClientConfig) -> Arc<Self> {
        Self::new(share.server(), config.clone())
    }

    fn server_id(&self) -> Option<Uuid> {
        self.id().map(|id| id.0)
    }

    fn removals(&self) -> &Semaphore {
        &self.removals
    }

    fn fit(&self, names: &[&[u8]]) -> usize {
        // SEQUENCE and PUTFH are in the COMPOUND, too.
        self.limits().fit(2, names.iter().copied())
    }

    async fn walk(attempt: &Attempt<'_, Self>, below: &[&str]) -> Result<Walk<Handle>, RoundError> {
        let segments: Vec<&str> = attempt.share().segments().chain(below.iter().copied()).collect();
        let share = segments.len() - below.len();
        let action = |at: usize| match segments.get(at) {
            Some(segment) if at < share => Action::Share(segment),
            Some(segment) => Action::Segment(segment),
            None => Action::Share("/"),
        };
        let mut object: Option<FsObject<Handle>> = None;
        let mut from = 0;
        while object.is_none() || from < segments.len() {
            // SEQUENCE, PUTFH, GETFH and GETATTR are in the COMPOUND, too.
            let next = segments[from..].iter().map(|segment| segment.as_bytes());
            let names = segments.len().min(from + attempt.server.limits().fit(4, next));
            let mut ops = vec![
                object
                    .as_ref()
                    .map_or(Op::PutRootFh, |object| Op::PutFh(&object.handle)),
            ];
            ops.extend(
                segments[from..names]
                    .iter()
                    .map(|segment| Op::Lookup(segment.as_bytes())),
            );
            ops.extend([Op::GetFh, Op::GetAttr]);
            let reply = attempt.send(&ops).await?;
            if let Some(stopped) = reply.stopped {
                let at = (from + stopped.at)
                    .saturating_sub(1)
                    .min(segments.len().saturating_sub(1));
                return match stopped.status {
                    Status::NOENT if at >= share => Ok(Walk::Missing(at - share)),
                    // The segment before this one is not a directory.
                    Status::NOTDIR | Status::SYMLINK if stopped.at <= names - from => {
                        Err(attempt.refused(action(at.saturating_sub(1)), stopped.status))
                    }
                    status => Err(attempt.refused(action(at), status)),
                };
            }
            object = Some(attempt.object(&reply)?);
            from = names;
        }
        let object = object.ok_or_else(|| attempt.incomplete())?;
        attempt.require_directory(&object, action(segments.len().wrapping_sub(1)))?;
        Ok(Walk::Found(object))
    }

    async fn look_up(attempt: &Attempt<'_, Self>, directory: &Handle, name: &[u8]) -> Answer<FsObject<Handle>> {
        let ops = [Op::PutFh(directory), Op::Lookup(name), Op::GetFh, Op::GetAttr];
        let reply = attempt.send(&ops).await?;
        match reply.stopped {
            None => attempt.object(&reply).map(Ok),
            Some(stopped) => Ok(Err(stopped.status)),
        }
    }

    async fn page(attempt: &Attempt<'_, Self>, directory: &Handle, from: Position) -> Answer<Page> {
        let read = Op::ReadDir(from, attempt.room_for_page());
        attempt.read_page(directory, read).await
    }

    async fn page_with_sizes(attempt: &Attempt<'_, Self>, directory: &Handle, from: Position) -> Answer<Page> {
        let read = Op::ReadDirWithSizes(from, attempt.room_for_page());
        attempt.read_page(directory, read).await
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
        let ops = [Op::PutFh(directory), Op::SetAttr(Change::mode(0o700))];
        Ok(attempt.send(&ops).await?.stopped.is_none())
    }

    async fn rename(
        attempt: &Attempt<'_, Self>,
        (source, from): (&Handle, &Directory),
        expected: Identity,
        (target, to): (&Handle, &Directory),
    ) -> Result<Moved, RoundError> {
        let ((_, from), (_, to)) = (from.split_last(), to.split_last());
        let ops = [
            Op::PutFh(source),
            Op::SaveFh,
            Op::Lookup(from.as_bytes()),
            Op::GetAttr,
            Op::Verify(expected),
            Op::PutFh(target),
            Op::Rename(from, to),
        ];
        let reply = attempt.send(&ops).await?;
        let Some(Stopped { at, status }) = reply.stopped else {
            return Ok(Moved::Done);
        };
        match (at, status) {
            (2, Status::NOENT) => Ok(Moved::Missing),
            (2, status) => Err(attempt.refused(Action::Segment(from), status)),
            (4, Status::NOT_SAME) => Ok(Moved::Another(attempt.identity(&reply)?)),
            // The source or the target was removed after the walks or after VERIFY; the next round finds out which.
            (6, Status::NOENT) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
            (_, status) => Err(attempt.refused(Action::Rename, status)),
        }
    }

    async fn remove_empty(
        attempt: &Attempt<'_, Self>,
        parent: &Handle,
        name: &str,
        expected: Identity,
    ) -> Result<Removed, RoundError> {
        let ops = [
            Op::PutFh(parent),
            Op::SaveFh,
            Op::Lookup(name.as_bytes()),
            Op::GetAttr,
            Op::Verify(expected),
            Op::RestoreFh,
            Op::Remove(name.as_bytes()),
        ];
        let reply = attempt.send(&ops).await?;
        let Some(Stopped { at, status }) = reply.stopped else {
            return Ok(Removed::Done);
        };
        match (at, status) {
            (2 | 6, Status::NOENT) => Ok(Removed::Missing),
            (2, status) => Err(attempt.refused(Action::Segment(name), status)),
            (4, Status::NOT_SAME) => Ok(Removed::Another(attempt.identity(&reply)?)),
            // Some file systems say EXIST.
            (6, Status::NOTEMPTY | Status::EXIST) => Ok(Removed::NotEmpty),
            (_, status) => Err(attempt.refused(Action::Remove, status)),
        }
    }

    async fn remove(
        attempt: &Attempt<'_, Self>,
        directory: &Handle,
        names: &[&[u8]],
        target: Target,
    ) -> Result<RemovedNames, RoundError> {
        let mut ops = vec![Op::PutFh(directory)];
        ops.extend(names.iter().map(|name| Op::Remove(name)));
        let late = match target {
            // They use the handle of a directory that is being emptied. A late call does the same as the next one.
            Target::Files | Target::Directories => Late::Harmless,
            Target::Tree => Late::Fenced,
        };
        let reply = attempt.send_as(&ops, late).await?;
        Ok(RemovedNames {
            // PUTFH is the operation before the first REMOVE.
            count: reply
                .stopped
                .map_or(names.len(), |stopped| stopped.at.saturating_sub(1)),
            stopped: reply.stopped.map(|stopped| stopped.status),
        })
    }

    async fn space(attempt: &Attempt<'_, Self>, directory: &Handle) -> Answer<Option<Space>> {
        let reply = attempt.send(&[Op::PutFh(directory), Op::GetSpace]).await?;
        match reply.stopped {
            None => Ok(Ok(reply.space())),
            Some(stopped) => Ok(Err(stopped.status)),
        }
    }
}

impl Attempt<'_, Server> {
    /// Returns the object whose handle and attributes are in a reply.
    pub fn object(&self, reply: &Reply) -> Result<FsObject<Handle>, RoundError> {
        match (reply.handle(), reply.file()) {
            (Some(handle), Some(file)) => Ok(file.with_handle(handle)),
            _ => Err(self.incomplete()),
        }
    }

    /// Returns the most bytes of a page. The reply contains more than the page.
    fn room_for_page(&self) -> u32 {
        LARGEST_PAGE.min(self.server.limits().reply - 1024)
    }

    async fn read_page(&self, directory: &Handle, read: Op<'_>) -> Answer<Page> {
        let reply = self.send(&[Op::PutFh(directory), read]).await?;
        if let Some(stopped) = reply.stopped {
            return Ok(Err(stopped.status));
        }
        let page = reply.into_page().ok_or_else(|| self.incomplete())?;
        if page.entries.is_empty() && !page.last {
            // The page has no position to continue from. If it counted as the last one, names would be missing.
            return Err(self.malformed("a page of a directory is empty and not the last"));
        }
        Ok(Ok(page))
    }

    fn identity(&self, reply: &Reply) -> Result<Identity, RoundError> {
        Ok(reply.file().ok_or_else(|| self.incomplete())?.found.identity)
    }
}

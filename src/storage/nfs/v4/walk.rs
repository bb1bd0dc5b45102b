//! From the server's root to a directory, name by name (LOOKUP: RFC 8881, 18.13).
//!
//! LOOKUP follows no symbolic link: a link on the way is a file like any other, at which the next LOOKUP stops. What is
//! done with the place that is found goes by its file handle, in a call of its own: so the walk may take as many calls
//! as the server's limits ask for, and its errors are told from those of the deed. Left out: handles kept from one verb
//! to the next, which the server may have forgotten.

use super::attempt::{Attempt, RetryReason, RoundError};
use super::attributes::{File, Kind};
use super::compound::Reply;
use super::operation::{Handle, Op};
use crate::storage::messages::Action;
use crate::storage::status::Status;

/// A file on the server.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub handle: Handle,
    pub file: File,
}

/// Where a walk came to.
pub(super) enum Walk {
    Found(Spot),
    /// The segment with this number is not there.
    Missing(usize),
}

impl Attempt<'_> {
    /// Walks from the server's root through the share and on through `below`. What is found is a directory.
    pub async fn walk(&self, below: &[&str]) -> Result<Walk, RoundError> {
        let segments: Vec<&str> = self.share().segments().chain(below.iter().copied()).collect();
        let share = segments.len() - below.len();
        let action = |at: usize| match segments.get(at) {
            Some(segment) if at < share => Action::Share(segment),
            Some(segment) => Action::Segment(segment),
            None => Action::Share("/"),
        };
        let mut spot: Option<Spot> = None;
        let mut from = 0;
        while spot.is_none() || from < segments.len() {
            // SEQUENCE, PUTFH, GETFH and GETATTR go along.
            let next = segments[from..].iter().map(|segment| segment.as_bytes());
            let names = segments.len().min(from + self.server().limits().fit(4, next));
            let mut ops = vec![spot.as_ref().map_or(Op::PutRoot, |spot| Op::Put(&spot.handle))];
            ops.extend(
                segments[from..names]
                    .iter()
                    .map(|segment| Op::Lookup(segment.as_bytes())),
            );
            ops.extend([Op::GetHandle, Op::Get]);
            let reply = self.send(&ops).await?;
            if let Some(stopped) = reply.stopped {
                let at = (from + stopped.at)
                    .saturating_sub(1)
                    .min(segments.len().saturating_sub(1));
                return match stopped.status {
                    Status::NOENT if at >= share => Ok(Walk::Missing(at - share)),
                    // Not the name is wrong but the file before it, in which the server looked.
                    Status::NOTDIR | Status::SYMLINK if stopped.at <= names - from => {
                        Err(self.refused(action(at.saturating_sub(1)), stopped.status))
                    }
                    status => Err(self.refused(action(at), status)),
                };
            }
            spot = Some(self.spot(&reply)?);
            from = names;
        }
        let spot = spot.ok_or_else(|| self.incomplete())?;
        self.directory(&spot, action(segments.len().wrapping_sub(1)))?;
        Ok(Walk::Found(spot))
    }

    /// What has this name in a directory, whatever it is; a link is not followed.
    pub async fn look(&self, directory: &Handle, name: &[u8]) -> Result<Option<Spot>, RoundError> {
        let ops = [Op::Put(directory), Op::Lookup(name), Op::GetHandle, Op::Get];
        let reply = self.send(&ops).await?;
        match reply.stopped {
            None => self.spot(&reply).map(Some),
            Some(stopped) if stopped.at == 1 && stopped.status == Status::NOENT => Ok(None),
            Some(stopped) => Err(self.refused(Action::Segment(&String::from_utf8_lossy(name)), stopped.status)),
        }
    }

    /// The handle and the attributes in a reply that went well.
    pub fn spot(&self, reply: &Reply) -> Result<Spot, RoundError> {
        match (reply.handle(), reply.file()) {
            (Some(handle), Some(file)) => Ok(Spot { handle, file }),
            _ => Err(self.incomplete()),
        }
    }

    /// Fails if a file or a link stands where a directory is meant.
    pub fn directory(&self, spot: &Spot, action: Action<'_>) -> Result<(), RoundError> {
        match spot.file.kind {
            Kind::Directory => Ok(()),
            Kind::Link | Kind::File => Err(self.refused(action, Status::NOTDIR)),
        }
    }
}

impl Walk {
    /// The place, if it must be there because it just was.
    pub fn must_exist(self) -> Result<Spot, RoundError> {
        match self {
            Self::Found(spot) => Ok(spot),
            Self::Missing(_) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
        }
    }
}

//! Look-ups: the verbs that change nothing, and the look-ups that other verbs need.

use super::protocol::{FsObject, Protocol, Walk};
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;
use crate::storage::Found;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::refusal::Action;
use crate::storage::status::Status;

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::look_up`].
    pub async fn look_up(&self, directory: &Directory) -> Result<Option<Found>, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = P::walk(self, &parents).await? else {
            return Ok(None);
        };
        let Some(object) = self.look_up_in(&parent.handle, last).await? else {
            return Ok(None);
        };
        self.require_directory(&object, Action::Segment(last))?;
        Ok(Some(object.found))
    }

    /// One round of [`crate::storage::Storage::identify`].
    pub async fn identify(&self) -> Result<ShareId, RoundError> {
        let root = P::walk(self, &[]).await?.must_exist()?;
        Ok(ShareId {
            view: P::VIEW,
            root: root.found.identity,
            server: self.server.server_id(),
        })
    }

    /// One round of [`crate::storage::Storage::above`].
    pub async fn above(&self, directory: &Directory) -> Result<Found, RoundError> {
        let (parents, _) = directory.split_last();
        let mut segments = &parents[..];
        loop {
            match P::walk(self, segments).await? {
                Walk::Found(object) => return Ok(object.found),
                // Each walk is at least one segment shorter. A walk without segments finds the root of the share.
                Walk::Missing(at) => segments = &segments[..at],
            }
        }
    }

    /// Returns the object of this name in a directory, of any type.
    pub async fn look_up_in(
        &self,
        directory: &P::Handle,
        name: &str,
    ) -> Result<Option<FsObject<P::Handle>>, RoundError> {
        match P::look_up(self, directory, name.as_bytes()).await? {
            Ok(object) => Ok(Some(object)),
            Err(Status::NOENT) => Ok(None),
            Err(status) => Err(self.refused(Action::Segment(name), status)),
        }
    }

    /// Returns the identity of the object of this name in a directory.
    pub async fn identity_in(&self, directory: &P::Handle, name: &str) -> Result<Option<Identity>, RoundError> {
        let object = self.look_up_in(directory, name).await?;
        Ok(object.map(|object| object.found.identity))
    }

    /// Walks from `root` through the names `below`, with one look-up for each.
    pub async fn walk_from(&self, root: FsObject<P::Handle>, below: &[&str]) -> Result<Walk<P::Handle>, RoundError> {
        let mut object = root;
        for (at, segment) in below.iter().enumerate() {
            object = match self.look_up_in(&object.handle, segment).await? {
                Some(next) => next,
                None => return Ok(Walk::Missing(at)),
            };
            self.require_directory(&object, Action::Segment(segment))?;
        }
        Ok(Walk::Found(object))
    }

    /// Returns a directory that exists according to the server's last answer.
    pub async fn look_up_existing(&self, parent: &P::Handle, name: &str) -> Result<FsObject<P::Handle>, RoundError> {
        let gone = RoundError::Retry(RetryReason::Changed(Status::NOENT));
        let object = self.look_up_in(parent, name).await?.ok_or(gone)?;
        self.require_directory(&object, Action::Segment(name))?;
        Ok(object)
    }

    /// Returns an error if the object is not a directory.
    pub fn require_directory<H>(&self, object: &FsObject<H>, action: Action<'_>) -> Result<(), RoundError> {
        if object.is_directory {
            Ok(())
        } else {
            Err(self.refused(action, Status::NOTDIR))
        }
    }
}

impl<H> Walk<H> {
    /// Returns the directory. If it is missing, the round begins again, because an earlier call has found it.
    pub fn must_exist(self) -> Result<FsObject<H>, RoundError> {
        match self {
            Self::Found(object) => Ok(object),
            Self::Missing(_) => Err(RoundError::Retry(RetryReason::Changed(Status::NOENT))),
        }
    }
}

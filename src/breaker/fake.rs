//! A storage for tests, which set the behavior of its servers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep_until;

use super::*;
use crate::model::attributes::Attributes;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::model::share_id::ShareId;
use crate::storage::{
    Existing, ExistingLimit, Fault, Found, Made, Measured, Measurement, Moved, Outcome, Pace, Removed, Space, Tree,
};

/// The behavior of a server. Servers without one work.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Behavior {
    /// Calls get no answer until the deadline.
    Hangs,
    Refuses,
    Busy,
    ReadOnly,
    /// Tree removals return [`Tree::Remains`]. Other calls and probes get no answer.
    OnlyTreesRemain,
}

#[derive(Default)]
pub(super) struct Fake {
    behaviors: Mutex<HashMap<String, Behavior>>,
    /// The number of calls and probes that were sent.
    sent: AtomicUsize,
}

impl Fake {
    pub fn set(&self, server: &str, behavior: Behavior) {
        self.behaviors.lock().unwrap().insert(server.to_owned(), behavior);
    }

    pub fn repair(&self, server: &str) {
        self.behaviors.lock().unwrap().remove(server);
    }

    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    fn behavior(&self, share: &Share) -> Option<Behavior> {
        self.behaviors.lock().unwrap().get(share.server()).copied()
    }

    async fn answer<T>(&self, share: &Share, deadline: Instant, answer: T) -> Result<T, StorageError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let (fault, text) = match self.behavior(share) {
            None => return Ok(answer),
            Some(Behavior::Hangs | Behavior::OnlyTreesRemain) => {
                // A call that hangs gets its answer when the server works again.
                while self.behavior(share).is_some() {
                    if Instant::now() >= deadline {
                        break;
                    }
                    sleep_until(deadline.min(Instant::now() + Duration::from_millis(100))).await;
                }
                if self.behavior(share).is_none() {
                    return Ok(answer);
                }
                (Fault::TimedOut, "it hangs.")
            }
            Some(Behavior::Refuses) => (Fault::Unreachable, "connection refused."),
            Some(Behavior::Busy) => (Fault::Busy, "it is busy."),
            Some(Behavior::ReadOnly) => (Fault::ReadOnly, "it is read-only."),
        };
        Err(StorageError {
            fault,
            outcome: Outcome::Unknown,
            tried: format!("cannot do this on {share}"),
            cause: text.to_owned(),
        })
    }
}

const FOUND: Found = Found {
    identity: Identity {
        fsid: (1, 2),
        fileid: 3,
    },
    mode: 0o755,
    uid: None,
    gid: None,
    changed: None,
};

#[async_trait]
impl Storage for Fake {
    async fn look_up(&self, share: &Share, _: &Directory, deadline: Instant) -> Result<Option<Found>, StorageError> {
        self.answer(share, deadline, None).await
    }

    async fn identify(&self, share: &Share, deadline: Instant) -> Result<ShareId, StorageError> {
        let id = ShareId {
            view: crate::model::share_id::View::V4,
            root: FOUND.identity,
            server: None,
        };
        self.answer(share, deadline, id).await
    }

    async fn above(&self, share: &Share, _: &Directory, deadline: Instant) -> Result<Found, StorageError> {
        self.answer(share, deadline, FOUND).await
    }

    async fn make(
        &self,
        share: &Share,
        _: &Directory,
        _: Attributes,
        _: Existing,
        deadline: Instant,
    ) -> Result<Made, StorageError> {
        let made = Made {
            mode: 0o755,
            identity: FOUND.identity,
            new: true,
        };
        self.answer(share, deadline, made).await
    }

    async fn rename(
        &self,
        share: &Share,
        _: &Directory,
        _: Identity,
        _: &Directory,
        deadline: Instant,
    ) -> Result<Moved, StorageError> {
        self.answer(share, deadline, Moved::Done).await
    }

    async fn set_attributes(
        &self,
        share: &Share,
        _: &Directory,
        _: Identity,
        _: Attributes,
        deadline: Instant,
    ) -> Result<Option<Found>, StorageError> {
        self.answer(share, deadline, Some(FOUND)).await
    }

    async fn remove_empty(
        &self,
        share: &Share,
        _: &Directory,
        _: Identity,
        deadline: Instant,
    ) -> Result<Removed, StorageError> {
        self.answer(share, deadline, Removed::Done).await
    }

    async fn remove_tree(&self, share: &Share, _: &Directory, deadline: Instant) -> Result<Tree, StorageError> {
        if self.behavior(share) == Some(Behavior::OnlyTreesRemain) {
            return Ok(Tree::Remains);
        }
        self.answer(share, deadline, Tree::Gone).await
    }

    async fn list(&self, share: &Share, _: Option<&Directory>, deadline: Instant) -> Result<Vec<String>, StorageError> {
        self.answer(share, deadline, Vec::new()).await
    }

    async fn space(
        &self,
        share: &Share,
        _: Option<&Directory>,
        deadline: Instant,
    ) -> Result<Option<Space>, StorageError> {
        self.answer(share, deadline, None).await
    }

    async fn limit_size(
        &self,
        share: &Share,
        _: &Directory,
        _: Identity,
        _: u64,
        _: ExistingLimit,
        deadline: Instant,
    ) -> Result<(), StorageError> {
        self.answer(share, deadline, ()).await
    }

    async fn measure(
        &self,
        share: &Share,
        _: &Directory,
        _: Identity,
        _: &Measurement,
        _: &dyn Pace,
        deadline: Instant,
    ) -> Result<Measured, StorageError> {
        self.answer(share, deadline, Measured::Missing).await
    }
}

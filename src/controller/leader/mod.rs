//! The state of one term of leadership.

pub mod archive_objects;
pub mod backoff;
pub mod kcm_nudge;
pub mod other_controller;
pub mod server_queue;
pub mod unchanged_since;
pub mod waiters;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::archive_objects::ArchiveObjects;
use self::backoff::Backoff;
use self::kcm_nudge::KcmNudge;
use self::other_controller::OtherController;
use self::server_queue::ServerQueue;
use self::unchanged_since::UnchangedSince;
use self::waiters::CleanupWaiters;
use super::context::Context;
use super::error::Error;
use crate::cluster::lease::Term;
use crate::model::directory::{Directory, Share};

/// The maximum number of volumes of one NFS server that are bound at the same time, and also of volumes that are
/// cleaned up at the same time.
const PARALLEL: usize = 16;
/// The maximum number of claims of one share that are provisioned at the same time.
const PARALLEL_CLAIMS: usize = 8;

/// The maximum number of objects of archives of one NFS server that are reconciled at the same time.
const PARALLEL_ARCHIVES: usize = 4;

/// A directory in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrashEntry {
    /// The share of the directory.
    pub share: Share,
    /// The path of the directory below the share.
    pub place: Directory,
}

/// The state of one term of leadership. Nothing in it is needed after the term: the next leader reads everything from
/// the API server and the shares.
pub struct Leader {
    /// The context, which outlives the term.
    pub ctx: Arc<Context>,
    /// The term, which knows whether this replica still leads.
    pub term: Term,
    /// Volumes that wait to be bound.
    pub bind_queue: ServerQueue,
    /// Volumes that wait to be cleaned up.
    pub cleanup_queue: ServerQueue,
    /// Claims that wait to be provisioned.
    pub claim_queue: ServerQueue,
    /// Objects of archives that wait for an NFS server.
    pub archive_queue: ServerQueue,
    /// The objects of archives.
    pub archives: ArchiveObjects,
    /// The number of failures in a row of each volume, claim and archive.
    pub backoff: Backoff,
    /// The time since the last change of each volume.
    pub unchanged_since: UnchangedSince,
    /// The volumes that wait for the cleanup of another volume.
    pub waiters: CleanupWaiters,
    /// Whether the controller of csi-driver-nfs runs.
    pub other_controller: OtherController,
    /// Limits the writes that make kube-controller-manager look at a volume again.
    pub kcm_nudge: KcmNudge,
    /// The queue of the loop that empties the trash.
    trash: mpsc::UnboundedSender<TrashEntry>,
}

impl Leader {
    /// Creates the state of a new term.
    pub fn new(ctx: Arc<Context>, term: Term, trash: mpsc::UnboundedSender<TrashEntry>) -> Self {
        Self {
            ctx,
            term,
            bind_queue: ServerQueue::new(PARALLEL),
            cleanup_queue: ServerQueue::new(PARALLEL),
            claim_queue: ServerQueue::new(PARALLEL_CLAIMS),
            archive_queue: ServerQueue::new(PARALLEL_ARCHIVES),
            archives: ArchiveObjects::default(),
            backoff: Backoff::default(),
            unchanged_since: UnchangedSince::default(),
            waiters: CleanupWaiters::default(),
            other_controller: OtherController::default(),
            kcm_nudge: KcmNudge::default(),
            trash,
        }
    }

    /// Sends a directory in the trash to the loop that removes it.
    pub fn remove_from_trash(&self, share: &Share, place: Directory) {
        let share = share.clone();
        // This fails only when the term has ended. The next leader finds the directory in the trash.
        let _ = self.trash.send(TrashEntry { share, place });
    }

    /// Returns whether claims of a share, or volumes of its server, wait or are reconciled.
    pub fn is_busy(&self, share: &Share) -> bool {
        self.bind_queue.is_busy(share.server())
            || self.cleanup_queue.is_busy(share.server())
            || self.claim_queue.is_busy(&share.to_string())
    }

    /// Fails with [`Error::NotLeading`] if this replica no longer leads. Must be called before every effect that cannot
    /// be undone, because the process may have been paused.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }
}

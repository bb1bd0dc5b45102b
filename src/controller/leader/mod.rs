//! What one term of leadership owns.

pub mod backoff;
pub mod kcm_nudge;
pub mod server_queue;
pub mod trash;
pub mod unchanged_since;
pub mod waiters;

use std::sync::Arc;

use tokio::sync::mpsc;

use self::backoff::Backoff;
use self::kcm_nudge::KcmNudge;
use self::server_queue::ServerQueue;
use self::trash::Entry;
use self::unchanged_since::UnchangedSince;
use self::waiters::CleanupWaiters;
use super::context::Context;
use super::error::Error;
use crate::cluster::lease::Term;
use crate::model::directory::{Directory, Share};

/// Volumes that are worked on at once, for each NFS server: so many that wait for their claims, and so many on their way
/// out.
const PARALLEL: usize = 16;
/// Claims that are provisioned at once, for each share.
const PARALLEL_CLAIMS: usize = 8;

/// The state of one term, with the context that outlives it. The next term begins with an empty one: everything in it is
/// found again in the cluster or on the shares.
pub struct Leader {
    /// What outlives the term.
    pub ctx: Arc<Context>,
    /// Until when this replica may act.
    pub term: Term,
    /// Volumes that wait for their turn to be bound.
    pub bind_queue: ServerQueue,
    /// Volumes that wait for their turn to be cleaned up.
    pub cleanup_queue: ServerQueue,
    /// Claims that wait for their turn to be provisioned.
    pub claim_queue: ServerQueue,
    /// How often each volume and each claim has failed in a row.
    pub backoff: Backoff,
    /// How long volumes have been unchanged.
    pub unchanged_since: UnchangedSince,
    /// Which volumes wait for the cleanup of another one.
    pub waiters: CleanupWaiters,
    /// Whether kube-controller-manager is at work.
    pub kcm_nudge: KcmNudge,
    /// To the loop that empties the trash.
    trash: mpsc::UnboundedSender<Entry>,
}

impl Leader {
    /// Begins a term.
    pub fn new(ctx: Arc<Context>, term: Term, trash: mpsc::UnboundedSender<Entry>) -> Self {
        Self {
            ctx,
            term,
            bind_queue: ServerQueue::new(PARALLEL),
            cleanup_queue: ServerQueue::new(PARALLEL),
            claim_queue: ServerQueue::new(PARALLEL_CLAIMS),
            backoff: Backoff::default(),
            unchanged_since: UnchangedSince::default(),
            waiters: CleanupWaiters::default(),
            kcm_nudge: KcmNudge::default(),
            trash,
        }
    }

    /// Has a directory in the trash removed. One that is being removed already is not removed twice.
    pub fn remove_from_trash(&self, share: &Share, place: Directory) {
        let share = share.clone();
        // It fails when the term is over: the next term finds the directory in the trash.
        let _ = self.trash.send(Entry { share, place });
    }

    /// Fails with [`Error::NotLeading`] if this replica leads no more. To be asked before every step that cannot be taken
    /// back, since the process may have been paused.
    pub fn may_act(&self) -> Result<(), Error> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }
}

//! What one term of leadership owns.

pub mod backoff;
pub mod kcm_nudge;
pub mod server_queue;
pub mod trash;
pub mod unchanged_since;
pub mod waits;

use std::sync::Arc;

use self::backoff::Pauses;
use self::kcm_nudge::Silence;
use self::server_queue::Gates;
use self::trash::Trash;
use self::unchanged_since::Grace;
use self::waits::Waits;
use super::context::Context;
use super::error::Failure;
use crate::cluster::lease::Term;

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
    pub gates: Gates,
    /// Volumes that wait for their turn to be cleaned up.
    pub gates_out: Gates,
    /// Claims that wait for their turn to be provisioned.
    pub claim_gates: Gates,
    /// How often each volume and each claim has failed in a row.
    pub pauses: Pauses,
    /// How long volumes have been unchanged.
    pub grace: Grace,
    /// Which volumes wait for the cleanup of another one.
    pub waits: Waits,
    /// Whether kube-controller-manager is at work.
    pub silence: Silence,
    /// Takes directories that are to be removed.
    pub trash: Trash,
}

impl Leader {
    /// Begins a term.
    pub fn new(ctx: Arc<Context>, term: Term, trash: Trash) -> Self {
        Self {
            ctx,
            term,
            gates: Gates::new(PARALLEL),
            gates_out: Gates::new(PARALLEL),
            claim_gates: Gates::new(PARALLEL_CLAIMS),
            pauses: Pauses::default(),
            grace: Grace::default(),
            waits: Waits::default(),
            silence: Silence::default(),
            trash,
        }
    }

    /// Fails with [`Failure::Stopping`] if this replica leads no more. To be asked before every step that cannot be taken
    /// back, since the process may have been paused.
    pub fn may_act(&self) -> Result<(), Failure> {
        if self.term.holds() {
            Ok(())
        } else {
            Err(Failure::Stopping)
        }
    }
}

//! The loops that look after volumes.
//!
//! One queue keyed by volume: an event of the volume, or of the claim that names it, makes it due. Each turn reads the
//! volume, plans one step ([`crate::policy::reconcile`]) and carries it out; no volume has two steps at once. A step that
//! fails is tried again with a growing pause of its own, or when a server that was down answers again. Servers wait for
//! nobody but their own.

mod annotation_warnings;
pub mod claims;
mod class_events;
mod error;
pub mod server_queue;
mod volumes;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::claims::CatchUp;
pub use self::error::Pauses;
use self::server_queue::Gates;
use self::volumes::empty_trash::Trash;
pub use self::volumes::kcm_nudge::Silence;
pub use self::volumes::overlap::Waits;
use self::volumes::unchanged_since::Grace;
use crate::breaker::Outages;
use crate::cluster::Cluster;
use crate::cluster::lease::Term;
use crate::model::binder_mode::BinderMode;
use crate::model::volume::Us;
use crate::ops::events::Events;
use crate::ops::metrics::Metrics;
use crate::policy::class::Defaults;
use crate::policy::selectors::Selectors;
use crate::provision::Provisioner;
use crate::storage::Storage;

/// Claims that are caught up with at once, for each NFS server.
const CATCHING_UP: usize = 8;
/// Volumes that are worked on at once, for each NFS server: so many that wait for their claims, and so many on their way
/// out.
const PARALLEL: usize = 16;
/// Trees in the trash that are removed at once, for each NFS server. Nobody waits for them.
const REMOVALS: usize = 3;
/// Between two looks at a volume that others have a say in.
const LOOK_AGAIN: Duration = Duration::from_mins(10);
/// Time for one call to an NFS server. Nobody waits for it at a terminal.
const STORAGE_CALL: Duration = Duration::from_secs(20);

/// What the loops work with, on every replica; they run on the one that leads.
pub struct Loops {
    /// The effects of a decision, and the cluster.
    pub provisioner: Provisioner,
    /// For classes that name no server or share.
    pub defaults: Defaults,
    /// What people read.
    pub events: Events,
    /// Which NFS servers are down.
    pub outages: Outages,
    /// Which claims the webhook configuration exempts; nothing until it has been looked at.
    pub selectors: watch::Receiver<Option<Selectors>>,
    /// Nested directories of volumes that another program made may be deleted.
    pub delete_nested: bool,
    /// How much of binding is done here.
    pub binder: BinderMode,
    /// How long a volume that no claim has had is left alone.
    pub orphan_grace: Duration,
    /// Between two rounds to look for archives whose time is over.
    pub retention_interval: Duration,
}

/// What looks after volumes, for one term.
pub struct Volumes {
    /// The API server.
    pub cluster: Cluster,
    /// The NFS servers.
    pub storage: Arc<dyn Storage>,
    /// Whose volumes are ours.
    pub us: Arc<Us>,
    /// For classes that name no server or share.
    pub defaults: Defaults,
    /// What people read.
    pub events: Events,
    /// What machines read.
    pub metrics: Arc<Metrics>,
    /// Nested directories of volumes that another program made may be deleted.
    pub delete_nested: bool,
    /// Whether this replica may still act.
    pub term: Term,
    /// Which NFS servers are down.
    pub outages: Outages,
    /// Who goes first.
    pub gates: Gates,
    /// The same of volumes on their way out.
    pub gates_out: Gates,
    /// The same of trees in the trash.
    removals: Gates,
    /// Takes what is to be removed.
    trash: Trash,
    /// How long volumes have been as they are.
    pub grace: Grace,
    /// How long each failing volume waits.
    pub pauses: Pauses,
    /// Which volumes wait for others to go first.
    pub waits: Waits,
    /// Whether the controller manager is at work.
    pub silence: Silence,
    /// How much of binding is done here.
    pub binder: BinderMode,
    /// How long a volume that no claim has had is left alone.
    pub orphan_grace: Duration,
    /// Between two rounds to look for archives whose time is over.
    pub retention_interval: Duration,
}

impl Loops {
    /// Runs all loops for one term; the step that each object is at is finished.
    pub async fn run(&self, term: Term) {
        let stop = term.stop.clone();
        let (trash, handed_over) = Trash::new();
        let volumes = Arc::new(self.volumes(term.clone(), trash));
        let catch_up = Arc::new(self.catch_up(term));
        let retention = volumes::retention::run(&volumes, volumes.retention_interval);
        tokio::join!(
            volumes::queue::run(Arc::clone(&volumes), stop.clone()),
            claims::run(Arc::clone(&catch_up), stop.clone()),
            stop.run_until_cancelled(class_events::run(&catch_up)),
            stop.run_until_cancelled(retention),
            stop.run_until_cancelled(volumes::empty_trash::run(&volumes, handed_over)),
            stop.run_until_cancelled(volumes::identities::run(&volumes)),
        );
    }

    fn volumes(&self, term: Term, trash: Trash) -> Volumes {
        let Provisioner {
            cluster,
            storage,
            us,
            metrics,
            tasks: _,
        } = self.provisioner.clone();
        Volumes {
            cluster,
            storage,
            us,
            defaults: self.defaults.clone(),
            events: self.events.clone(),
            metrics,
            delete_nested: self.delete_nested,
            term,
            outages: self.outages.clone(),
            gates: Gates::new(PARALLEL),
            gates_out: Gates::new(PARALLEL),
            removals: Gates::new(REMOVALS),
            trash,
            grace: Grace::default(),
            pauses: Pauses::default(),
            waits: Waits::default(),
            silence: Silence::default(),
            binder: self.binder,
            orphan_grace: self.orphan_grace,
            retention_interval: self.retention_interval,
        }
    }

    fn catch_up(&self, term: Term) -> CatchUp {
        CatchUp {
            provisioner: self.provisioner.clone(),
            defaults: self.defaults.clone(),
            events: self.events.clone(),
            outages: self.outages.clone(),
            selectors: self.selectors.clone(),
            gates: Gates::new(CATCHING_UP),
            pauses: Pauses::default(),
            term,
        }
    }
}

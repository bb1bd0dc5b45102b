//! The schedule of a run, computed before its start: the same seed gives the same operations and the same faults at the same
//! times. The results still differ from run to run, since the timing of the processes differs.

use std::fmt;
use std::time::Duration;

use bindery::failpoints::Point;
use clap::ValueEnum;

use crate::random::Random;
use crate::setup::Class;

/// Number of namespaces with claims. Each may be deleted with everything in it.
pub const NAMESPACES: u64 = 3;
/// Number of claim names in each namespace. There are few, so that names are used again.
const NAMES: u64 = 16;

/// The schedule of a run.
pub struct Schedule {
    /// Operations of users, ordered by time.
    pub operations: Vec<Operation>,
    /// Faults of processes, ordered by time for each process.
    pub faults: Vec<Fault>,
}

/// Namespace and name of a claim. Many claims use the same name, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// An operation of a user.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Time since the start.
    pub at: Duration,
    /// The claim.
    pub slot: Slot,
    /// What the user does.
    pub action: Action,
}

/// What users do.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Creates the claim.
    Create(Class, Creator),
    /// Deletes the claim.
    Delete,
    /// Deletes the claim, and creates one of the same name as soon as possible.
    Again(Class, Creator),
    /// Deletes the claim, and creates one of the same name that gets an archive of its namespace.
    Restore(Creator),
    /// Deletes the claim, and sets `retain` on its volume during the cleanup.
    DeleteAndRetain(Retain),
    /// An administrator creates a static volume for the directory of the claim's volume.
    CreateStatic(StaticSource),
    /// An administrator deletes such a static volume.
    DeleteStatic,
    /// Deletes the namespace. The next claim creates it again.
    DeleteNamespace,
}

/// Which user creates a claim, and so which replica reviews it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creator {
    /// The user whose requests the first replica reviews.
    First,
    /// The user whose requests the second replica reviews.
    Second,
    /// Both at the same time, by server-side apply: each replica creates a volume, and one of them becomes the claim's.
    Both,
}

/// How an administrator asks Bindery to keep a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    /// By the annotation on the volume.
    OnDelete,
    /// By the volume's reclaim policy.
    ReclaimPolicy,
}

/// How a static volume names the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticSource {
    /// An in-tree NFS volume, with the same server address as in Bindery's volume.
    Nfs,
    /// An in-tree NFS volume, with the server's other address.
    Alias,
    /// A volume of the CSI driver for NFS.
    Csi,
}

/// A process that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// The first replica of Bindery.
    First,
    /// The second replica of Bindery.
    Second,
    /// The NFS server.
    Nfs,
    /// The API server.
    ApiServer,
    /// etcd. While it is down, requests hang in the API server or fail.
    Etcd,
    /// kube-controller-manager, which binds claims, releases volumes and empties namespaces.
    ControllerManager,
}

impl Part {
    /// All processes. Add a new one at the end: the random faults depend on the position.
    pub const ALL: [Self; 6] = [
        Self::First,
        Self::Second,
        Self::Nfs,
        Self::ApiServer,
        Self::Etcd,
        Self::ControllerManager,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "Bindery replica 1",
            Self::Second => "Bindery replica 2",
            Self::Nfs => "NFS server",
            Self::ApiServer => "kube-apiserver",
            Self::Etcd => "etcd",
            Self::ControllerManager => "kube-controller-manager",
        })
    }
}

/// A fault of a process.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Time since the start.
    pub at: Duration,
    /// The process.
    pub part: Part,
    /// How it fails.
    pub kind: Kind,
    /// Time until the process runs again.
    pub duration: Duration,
}

/// How a process fails.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Killed with SIGKILL, and started again later.
    Kill,
    /// Paused with SIGSTOP, and resumed later.
    Pause,
    /// Stopped with SIGTERM, as in a rolling update, and started again later.
    Terminate,
    /// Restarted with a crash point. When the process reaches the point, it dies and is started again.
    CrashAt(Point),
}

impl Schedule {
    /// Computes the schedule of this seed.
    pub fn new(seed: u64, length: Duration) -> Self {
        let mut faults = Vec::new();
        for (stream, part) in (1..).zip(Part::ALL) {
            faults.extend(faults_of(&mut Random::new(seed, stream), part, length));
        }
        Self {
            operations: operations(&mut Random::new(seed, 0), length),
            faults,
        }
    }
}

fn operations(random: &mut Random, length: Duration) -> Vec<Operation> {
    let mut operations = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        // Bursts and pauses.
        at += if random.percent(70) {
            random.millis(5..100)
        } else {
            random.millis(200..700)
        };
        if at >= length {
            return operations;
        }
        let slot = Slot {
            namespace: format!("chaos-{}", random.within(0..NAMESPACES)),
            name: format!("data-{}", random.within(0..NAMES)),
        };
        // Many archives, so that there is something to restore.
        let class = if random.percent(30) {
            Class::OwnArchive
        } else {
            random.of(&Class::ALL)
        };
        let creator = match random.within(0..100) {
            0..45 => Creator::First,
            45..90 => Creator::Second,
            _ => Creator::Both,
        };
        let action = match random.within(0..1000) {
            0..460 => Action::Create(class, creator),
            460..640 => Action::Delete,
            640..840 => Action::Again(class, creator),
            840..920 => Action::Restore(creator),
            920..945 => Action::DeleteAndRetain(Retain::OnDelete),
            945..960 => Action::DeleteAndRetain(Retain::ReclaimPolicy),
            960..985 => Action::CreateStatic(random.of(&[StaticSource::Nfs, StaticSource::Alias, StaticSource::Csi])),
            985..997 => Action::DeleteStatic,
            _ => Action::DeleteNamespace,
        };
        operations.push(Operation { at, slot, action });
    }
}

fn faults_of(random: &mut Random, part: Part, length: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += match part {
            Part::First | Part::Second | Part::Nfs => random.millis(1_000..12_000),
            // These processes need seconds to start, and no operation is possible without them.
            Part::ApiServer => random.millis(12_000..40_000),
            Part::Etcd | Part::ControllerManager => random.millis(15_000..50_000),
        };
        if at >= length {
            return faults;
        }
        let replica = matches!(part, Part::First | Part::Second);
        let restarts = replica || part == Part::ApiServer;
        let kind = match random.within(0..100) {
            0..35 => Kind::Kill,
            35..45 if restarts => Kind::Terminate,
            45..70 if replica => Kind::CrashAt(random.of(Point::value_variants())),
            35..70 => Kind::Kill,
            _ => Kind::Pause,
        };
        let long = random.percent(25);
        let duration = match (kind, part) {
            (Kind::CrashAt(_), _) => random.millis(3_000..10_000),
            // The maximum is limited by --orphan-grace of the replicas: it must be longer than this pause and the longest
            // request together.
            (Kind::Pause, Part::ApiServer | Part::Etcd) if long => random.millis(5_000..20_000),
            (_, Part::ApiServer | Part::Etcd) => random.millis(500..5_000),
            // This pause is longer than the duration of the Lease.
            (Kind::Pause, _) if long => random.millis(16_000..25_000),
            (Kind::Pause, _) => random.millis(200..6_000),
            (Kind::Kill | Kind::Terminate, _) => random.millis(50..4_000),
        };
        faults.push(Fault {
            at,
            part,
            kind,
            duration,
        });
        at += duration;
    }
}

//! What happens when, all of it known before the start: the same seed gives the same operations and the same faults at
//! the same times. What meets what still differs from run to run, since processes take their own time.

use std::time::Duration;

use bindery::failpoints::Point;

use crate::random::Random;
use crate::setup::Class;

/// Claims live in these, and each may be deleted with all that is in it.
pub const NAMESPACES: u64 = 3;
/// Names of claims in each; few, so that names come again and again.
const NAMES: u64 = 16;

/// A run.
pub struct Schedule {
    /// Of users, in the order of time.
    pub operations: Vec<Operation>,
    /// Of the machines, in the order of time for each part.
    pub faults: Vec<Fault>,
}

/// The place of a claim: one after the other, there are many of that name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// Something that a user does.
#[derive(Clone, Debug)]
pub struct Operation {
    /// When, from the start.
    pub at: Duration,
    /// To which claim.
    pub slot: Slot,
    /// What.
    pub what: What,
}

/// What users do.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// Creates the claim.
    Create(Class, Asker),
    /// Deletes it.
    Delete,
    /// Deletes it, and creates one of the same name as soon as that is possible.
    Again(Class, Asker),
    /// Deletes it, and sets `retain` on its volume while Bindery cleans that up.
    DeleteAndRetain(Retain),
    /// An administrator creates a volume by hand that names the directory of the claim's volume.
    CreateByHand(Spelling),
    /// An administrator deletes such a volume.
    DeleteByHand,
    /// Deletes the namespace and all that is in it; it comes again with the next claim.
    DeleteNamespace,
}

/// Who creates a claim, and so which replica is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A user whose requests the first replica sees.
    First,
    /// A user whose requests the second replica sees.
    Second,
    /// Both at the same moment, by server-side apply: each replica makes a volume, and one of them is the claim's.
    Both,
}

/// How an administrator says that a directory stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    /// By the annotation on the volume.
    OnDelete,
    /// By the volume's reclaim policy.
    ReclaimPolicy,
}

/// How a volume that is made by hand names the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// An in-tree NFS volume, with the server as Bindery's volume has it.
    Nfs,
    /// An in-tree NFS volume, with the server's other address.
    Alias,
    /// A volume of the CSI driver for NFS.
    Csi,
}

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A replica of Bindery.
    First,
    /// The other one.
    Second,
    /// The NFS server.
    Nfs,
    /// The API server.
    ApiServer,
    /// What the API server keeps everything in: requests stand still in the API server, or fail, as long as it is away.
    Etcd,
    /// What binds claims, releases volumes and empties namespaces.
    ControllerManager,
}

impl Part {
    /// All of them. A new one comes last: the faults of a part are drawn by its place.
    pub const ALL: [Self; 6] = [
        Self::First,
        Self::Second,
        Self::Nfs,
        Self::ApiServer,
        Self::Etcd,
        Self::ControllerManager,
    ];
}

/// Something that happens to a part.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// When, from the start.
    pub at: Duration,
    /// To what.
    pub part: Part,
    /// What.
    pub kind: Kind,
    /// How long until the part runs again.
    pub lasts: Duration,
}

/// How a part fails.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Killed with -9, and started again later.
    Kill,
    /// Stands still, and goes on.
    Pause,
    /// Asked to stop, as in a rolling update, and started again.
    Terminate,
    /// Started anew so that it dies at this point of its work, if it comes there in time, and then started again.
    CrashAt(Point),
}

impl Schedule {
    /// The schedule of this seed.
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
        let class = random.of(&Class::ALL);
        let asker = match random.within(0..100) {
            0..45 => Asker::First,
            45..90 => Asker::Second,
            _ => Asker::Both,
        };
        let what = match random.within(0..1000) {
            0..460 => What::Create(class, asker),
            460..640 => What::Delete,
            640..920 => What::Again(class, asker),
            920..945 => What::DeleteAndRetain(Retain::OnDelete),
            945..960 => What::DeleteAndRetain(Retain::ReclaimPolicy),
            960..985 => What::CreateByHand(random.of(&[Spelling::Nfs, Spelling::Alias, Spelling::Csi])),
            985..997 => What::DeleteByHand,
            _ => What::DeleteNamespace,
        };
        operations.push(Operation { at, slot, what });
    }
}

fn faults_of(random: &mut Random, part: Part, length: Duration) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += match part {
            Part::First | Part::Second | Part::Nfs => random.millis(1_000..12_000),
            // They need seconds to start, and nothing happens without them.
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
            45..70 if replica => Kind::CrashAt(random.of(&Point::ALL)),
            35..70 => Kind::Kill,
            _ => Kind::Pause,
        };
        let long = random.percent(25);
        let lasts = match (kind, part) {
            (Kind::CrashAt(_), _) => random.millis(3_000..10_000),
            // No longer: replicas have an `--orphan-grace` that is longer than the longest request and this together.
            (Kind::Pause, Part::ApiServer | Part::Etcd) if long => random.millis(5_000..20_000),
            (_, Part::ApiServer | Part::Etcd) => random.millis(500..5_000),
            // Longer than the Lease.
            (Kind::Pause, _) if long => random.millis(16_000..25_000),
            (Kind::Pause, _) => random.millis(200..6_000),
            (Kind::Kill | Kind::Terminate, _) => random.millis(50..4_000),
        };
        faults.push(Fault { at, part, kind, lasts });
        at += lasts;
    }
}

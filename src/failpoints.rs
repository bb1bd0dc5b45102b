//! Crash points: places between two effects where a test ends the process, as a power cut would.
//!
//! Only a build with the feature `failpoints` has them, and no release does: without it [`point`] is nothing. With it, the
//! environment variable `FAILPOINTS` names the one point at which the process dies, the first time that it comes there.

use std::fmt;

/// The steps that a crash may come after, in the order of a claim's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The volume is written; there is no directory yet.
    VolumeCreated,
    /// The directory is there; nobody has been answered.
    DirectoryMade,
    /// Catch-up has written the claim's uid into the volume.
    VolumeGiven,
    /// The claim is there and names the volume: the answer was sent. The binder has done nothing yet.
    AnswerSent,
    /// The binder has written the claim's uid into the volume.
    UidSet,
    /// The claim is bound: the binder has written what the controller manager left to do.
    ClaimCompleted,
    /// The claim is gone, and the volume is marked deleted.
    MarkedDeleted,
    /// The volume says where its directory is to be moved; it is still at its path.
    TargetRecorded,
    /// The directory has left its path: it lies aside, and is neither in the trash proper nor an archive.
    Renamed,
    /// Some of the tree in the trash is removed.
    TreeHalfRemoved,
    /// The directory is where its policy wants it; the finalizer is still on the volume.
    DirectoryDone,
    /// The finalizer is gone, and the volume with it.
    FinalizerRemoved,
    /// A volume that no claim has had is fenced, and not yet marked deleted.
    Fenced,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::VolumeCreated,
        Self::DirectoryMade,
        Self::VolumeGiven,
        Self::AnswerSent,
        Self::UidSet,
        Self::ClaimCompleted,
        Self::MarkedDeleted,
        Self::TargetRecorded,
        Self::Renamed,
        Self::TreeHalfRemoved,
        Self::DirectoryDone,
        Self::FinalizerRemoved,
        Self::Fenced,
    ];
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VolumeCreated => "volume-created",
            Self::DirectoryMade => "directory-made",
            Self::VolumeGiven => "volume-given",
            Self::AnswerSent => "answer-sent",
            Self::UidSet => "uid-set",
            Self::ClaimCompleted => "claim-completed",
            Self::MarkedDeleted => "marked-deleted",
            Self::TargetRecorded => "target-recorded",
            Self::Renamed => "renamed",
            Self::TreeHalfRemoved => "tree-half-removed",
            Self::DirectoryDone => "directory-done",
            Self::FinalizerRemoved => "finalizer-removed",
            Self::Fenced => "fenced",
        })
    }
}

/// The process dies here if it was told to.
#[cfg(feature = "failpoints")]
pub fn point(reached: Point) {
    use std::sync::LazyLock;
    // Not a flag: no release knows it.
    static DIES_AT: LazyLock<String> = LazyLock::new(|| std::env::var("FAILPOINTS").unwrap_or_default());
    if *DIES_AT == reached.to_string() {
        tracing::warn!("crash point {reached}");
        // Nothing is unwound, flushed or said to anybody.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing, in every build but that of the tests.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn point(_: Point) {}

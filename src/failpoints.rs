//! Crash points: places between two effects where a test kills the process, as a power failure would.
//!
//! Only a build with the feature `failpoints` has them, and no release does: without it [`point`] does nothing. With
//! it, the environment variable `FAILPOINTS` names the point at which the process dies, the first time that it is
//! reached.

use std::fmt;

use clap::ValueEnum;

/// The steps after which a process may die, from the creation of a claim to its deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Point {
    /// The volume is created; its directory is not.
    VolumeCreated,
    /// The directory is created; the admission review is not answered.
    DirectoryMade,
    /// The object of an archive says that the archive is being restored. Its directory has not been moved yet.
    RestoreMarked,
    /// The directory of an archive is at the path of the new volume. Its mode and owner are not set yet.
    RestoreMoved,
    /// The claims loop has written the claim's uid into the volume.
    VolumeAssigned,
    /// The claim exists and names the volume, since the answer was sent. The binder has done nothing yet.
    AnswerSent,
    /// The binder has written the claim's uid into the volume.
    UidSet,
    /// The binder has set the fields of the claim that kube-controller-manager had not set yet: the claim is bound.
    ClaimCompleted,
    /// The volume has the larger size that its claim asks for. The claim's status still has the old one.
    VolumeExpanded,
    /// The claim is gone, and the volume is marked deleted.
    MarkedDeleted,
    /// The volume records where its directory is to be moved. The directory is still at its path.
    TargetRecorded,
    /// The directory is moved aside, but not yet to the trash or to an archive.
    Renamed,
    /// A part of a tree in the trash is removed.
    TreeHalfRemoved,
    /// The directory is an archive. No object in the API names it.
    ArchiveMade,
    /// The object of the archive is written. It has no status yet.
    ArchiveRecorded,
    /// Somebody has deleted the object of an archive, and the directory is in the trash. The object still exists.
    ArchiveInTrash,
    /// The object of an archive exists in Bindery's own namespace, and also in the namespace that is being deleted.
    ArchiveCopied,
    /// Bindery deletes the object of an archive whose directory is gone, and has removed the finalizer. The object exists.
    ArchiveReleased,
    /// The archive has the name with its new expiry. Its object has the old expiry.
    ArchiveRenamed,
    /// The policy was applied to the directory; the volume still has the finalizer.
    DirectoryDone,
    /// The finalizer is removed, and the volume with it.
    FinalizerRemoved,
    /// The directory of an archive is an archive again, because no claim has had its volume. The volume exists.
    RestoreUndone,
    /// A volume that no claim has used is fenced, and not yet marked deleted.
    Fenced,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.to_possible_value();
        name.map_or(Ok(()), |name| f.write_str(name.get_name()))
    }
}

/// Kills the process if the environment names this point.
#[cfg(feature = "failpoints")]
pub fn point(reached: Point) {
    use std::sync::LazyLock;
    // Not a flag, since no release has it.
    static DIES_AT: LazyLock<String> = LazyLock::new(|| std::env::var("FAILPOINTS").unwrap_or_default());
    if *DIES_AT == reached.to_string() {
        tracing::warn!("crash point {reached}");
        // SIGKILL: nothing is unwound, flushed or reported.
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Does nothing: only builds for tests have crash points.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub fn point(_: Point) {}

//! Storage errors: one sentence for a person, and two facts for the flows.

use crate::model::directory::Share;

/// A verb failed.
///
/// Its text is a whole sentence: what was tried where, what the server said, the likely cause and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {cause}")]
pub struct StorageError {
    /// What kind of failure it is.
    pub fault: Fault,
    /// Whether the server may have carried the call out, or still will.
    pub outcome: Outcome,
    /// What was tried, on which share.
    pub tried: String,
    /// What came of it, why, and what to do.
    pub cause: String,
}

impl StorageError {
    /// What was tried on which share (`what` follows the word "cannot"), and what came of it.
    pub(super) fn of(what: &str, share: &Share, (fault, text): (Fault, &str), outcome: Outcome) -> Self {
        let note = match outcome {
            Outcome::Unknown => " All or a part of it may have been done.",
            Outcome::NotDone => "",
        };
        Self {
            fault,
            outcome,
            tried: format!("cannot {what} on {share}"),
            cause: format!("{text}{note}"),
        }
    }

    /// Whether another try, later, with nothing changed by a person, may go well.
    pub fn transient(&self) -> bool {
        match self.fault {
            Fault::Unreachable | Fault::NotMounted | Fault::TimedOut | Fault::Busy | Fault::ServerFault => true,
            Fault::NoSuchShare
            | Fault::Denied
            | Fault::ReadOnly
            | Fault::NoSpace
            | Fault::NotADirectory
            | Fault::OtherFileSystem
            | Fault::HiddenEntries
            | Fault::Other => false,
        }
    }

    /// Whether no server has answered: what is done next on it would most likely fail, too.
    pub fn unanswered(&self) -> bool {
        matches!(self.fault, Fault::Unreachable | Fault::NotMounted | Fault::TimedOut)
    }
}

/// The kinds of failure that the flows or the tests tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or the name does not resolve.
    Unreachable,
    /// The share is to be mounted for Bindery, and is not at the moment.
    NotMounted,
    /// The server was silent until the deadline.
    TimedOut,
    /// The server asked to come back later until the deadline (grace period, busy).
    Busy,
    /// The server met an error of its own that may pass: a disk, a cluster behind it, no memory, a lost session.
    ServerFault,
    /// The export is not there, or not for us.
    NoSuchShare,
    /// Permission denied: squashed root, or an owner that may not be set.
    Denied,
    /// The export or its file system is read-only.
    ReadOnly,
    /// No space, or over quota.
    NoSpace,
    /// A file or a symbolic link stands where a directory is meant.
    NotADirectory,
    /// A rename would cross file systems.
    OtherFileSystem,
    /// The server says that a directory is not empty, and lists nothing in it: snapshots, mostly.
    HiddenEntries,
    /// Anything else that the server answered.
    Other,
}

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not happen and never will.
    NotDone,
    /// It may have happened, or may happen later.
    Unknown,
}

//! Storage errors: a message for users, and a kind and an outcome for callers.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

use crate::model::directory::Share;

/// The error of a verb.
///
/// Its text says what was tried on which share, what the server answered, the likely cause and the next step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{tried}: {cause}")]
pub struct StorageError {
    /// The kind of failure.
    pub fault: Fault,
    /// Whether the server may have carried the call out, or may do so later.
    pub outcome: Outcome,
    /// What was tried, on which share.
    pub tried: String,
    /// What went wrong, why, and what to do.
    pub cause: String,
}

impl StorageError {
    /// Creates an error: what was tried on which share (`what` follows the word "cannot"), and what went wrong.
    pub(super) fn of(what: &str, share: &Share, (fault, text): Reason, outcome: Outcome) -> Self {
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

    /// Returns whether a later attempt may succeed without a change by an administrator.
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

    /// Returns whether the server did not answer. The next call would most likely fail, too.
    pub fn unanswered(&self) -> bool {
        self.fault.unanswered()
    }
}

/// The kinds of failure that callers or tests tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Fault {
    /// No connection, or the name does not resolve.
    Unreachable,
    /// Bindery uses a mount for the share, but it is not mounted at the moment.
    NotMounted,
    /// The server did not answer before the deadline.
    TimedOut,
    /// The server asked to try again later, until the deadline (grace period, busy).
    Busy,
    /// The server has an internal error that may be temporary: a disk, its storage cluster, no memory, a lost session.
    ServerFault,
    /// The export does not exist, or is not for this host.
    NoSuchShare,
    /// Permission denied: root is squashed, or the owner may not be set.
    Denied,
    /// The export or its file system is read-only.
    ReadOnly,
    /// No space, or over quota.
    NoSpace,
    /// A file or a symbolic link is where a directory must be.
    NotADirectory,
    /// A rename would cross file systems.
    OtherFileSystem,
    /// A directory is not empty, but the server lists nothing in it: usually snapshots.
    HiddenEntries,
    /// Any other answer of the server.
    Other,
}

impl Fault {
    /// Returns the kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }

    /// Returns whether the server did not answer.
    pub fn unanswered(self) -> bool {
        matches!(self, Self::Unreachable | Self::NotMounted | Self::TimedOut)
    }

    /// Creates the reason of a failure of this kind.
    pub(super) fn because(self, text: impl Into<String>) -> Reason {
        (self, text.into())
    }
}

/// Why a verb failed: the kind of failure, and a text for people that contains the likely cause and the next step.
pub(super) type Reason = (Fault, String);

/// Whether a call that failed has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has had no effect, and will have none.
    NotDone,
    /// It may have had an effect, or may have one later.
    Unknown,
}

//! What was refused and why: the reasons that NFS servers and mounted file systems have in common.

use std::fmt;
use std::path::Path;

use super::error::Reason;
use super::status::Status;
use super::{Fault, errno};
use crate::model::directory::Share;

/// The action that the server or the file system answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Find the share. The segment of its path that failed; for a mount it is empty.
    Share(&'a str),
    /// Look up this segment of the path below the share.
    Segment(&'a str),
    Make,
    SetOwner,
    SetMode,
    Rename,
    Remove,
    /// Remove the content of the directory of this name, in a tree that is removed.
    Inside(&'a str),
    List,
    ReadSpace,
    /// Limit the size of a directory.
    Limit,
}

/// The share on which a verb failed, and the identity of this client there.
pub(super) struct ErrorContext<'a> {
    pub share: &'a Share,
    /// The uid that the client sends, or that this process has on a mount.
    pub uid: u32,
    /// Whether the client uses a privileged source port.
    pub privileged: bool,
    /// The mount point; `None` for the NFS clients.
    pub mount: Option<&'a Path>,
}

impl ErrorContext<'_> {
    /// Returns the mount point as text.
    pub fn mounted_at(&self) -> impl fmt::Display {
        self.mount.unwrap_or(Path::new("")).display()
    }

    /// Returns the name of a status, as NFS or the file system has it.
    pub fn status_name(&self, status: Status) -> String {
        match self.mount {
            Some(_) => errno::name(status.errno()),
            None => status.in_version(self.share.version()).to_string(),
        }
    }
}

/// A reason whose message is the same for NFS and for mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A file or a link is where a directory must be.
    NotADirectory,
    NoSpace,
    Quota,
    NameTooLong,
    BadName,
    /// A name is in use, or a directory is not empty.
    Exists,
    /// A name does not exist.
    Missing,
}

impl Refusal {
    /// Returns the message, if it is the same for this action. `code` is the name of the status.
    pub fn describe(self, action: Action<'_>, code: impl fmt::Display) -> Option<Reason> {
        Some(match (self, action) {
            (Self::NotADirectory, Action::Segment(segment)) => Fault::NotADirectory.because(format!(
                "{segment:?} in the path is a file or a symbolic link; links are never followed. Move it away, or \
                 choose another directory."
            )),
            (Self::NoSpace, _) => Fault::NoSpace.because(format!(
                "the file system is full ({code}). Free space on the server, or enlarge it."
            )),
            (Self::Quota, _) => Fault::NoSpace.because(format!(
                "the quota is used up ({code}). Raise it on the server, or free space."
            )),
            (Self::NameTooLong, _) => Fault::Other.because(format!(
                "a name in it is too long for the file system ({code}). Shorten the directory's name."
            )),
            (Self::BadName, Action::Make | Action::Segment(_)) => Fault::Other.because(format!(
                "the file system does not accept the directory's name ({code}). Change the name."
            )),
            (Self::Exists, Action::Rename) => {
                Fault::Other.because(format!("the target exists already ({code}). Move it away."))
            }
            (Self::Missing, Action::Rename) => {
                Fault::Other.because(format!("the parent of the target does not exist ({code})."))
            }
            (Self::NotADirectory | Self::BadName | Self::Exists | Self::Missing, _) => return None,
        })
    }
}

/// Adds the name of the directory in the tree to a message.
pub(super) fn inside(name: &str, (fault, text): Reason) -> Reason {
    fault.because(format!("in its directory {name:?}, {text}"))
}

/// Returns the message: an object was changed or removed between two calls, several times.
pub(super) fn keeps_changing(code: impl fmt::Display) -> Reason {
    Fault::Busy.because(format!(
        "it was changed or removed between two calls, several times ({code}). Another program changes it at the same \
         time."
    ))
}

/// Returns the message: a directory is not empty, but its listing is empty. `name` is empty for the top of the tree.
pub(super) fn unlisted_entries(name: &str) -> Reason {
    let text = "the server lists nothing in it and says that it is not empty: it holds entries that the server does \
                not list, most likely snapshots (.snap on CephFS). Remove its snapshots on the server.";
    let reason = Fault::HiddenEntries.because(text);
    if name.is_empty() { reason } else { inside(name, reason) }
}

/// Returns the message: a tree gets new files while it is removed.
pub(super) fn keeps_filling() -> Reason {
    Fault::Busy.because("new files appear as fast as they are removed. Stop the program that writes them.")
}

/// The most names in a listing. They need at most 250 MB of memory.
pub(super) const MAX_NAMES: usize = 1_000_000;
pub(super) const TOO_MANY_NAMES: &str = "it has more than a million names. Divide it into several directories.";

//! What was tried and why it was refused, as NFS servers and mounted file systems both say it.

use std::fmt;
use std::path::Path;

use super::error::Reason;
use super::status::Status;
use super::{Fault, errno};
use crate::model::directory::Share;

/// What was tried when the server or the file system answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action<'a> {
    /// Find the share: at this segment of its path, or the directory that it is mounted on.
    Share(&'a str),
    /// Go through, or look at, this segment below the share.
    Segment(&'a str),
    Make,
    SetOwner,
    SetMode,
    Rename,
    Remove,
    /// Remove what is in the directory of this name, inside the tree that is removed.
    Inside(&'a str),
    List,
}

/// On which share a verb failed, and who this client is there.
pub(super) struct ErrorContext<'a> {
    pub share: &'a Share,
    /// The user that the client sends, or that this process is on a mount.
    pub uid: u32,
    /// Whether the client comes from a privileged port.
    pub privileged: bool,
    /// Where it is mounted; none where the client speaks NFS.
    pub mount: Option<&'a Path>,
}

impl ErrorContext<'_> {
    /// Shows where the share is mounted.
    pub fn mounted_at(&self) -> impl fmt::Display {
        self.mount.unwrap_or(Path::new("")).display()
    }

    /// Shows a status as the server or the file system calls it.
    pub fn status_name(&self, status: Status) -> String {
        match self.mount {
            Some(_) => errno::name(status.errno()),
            None => status.in_version(self.share.version()).to_string(),
        }
    }
}

/// Why it was refused, where that is said in the same words for NFS and for mounts.
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
    /// A name is not in use.
    Missing,
}

impl Refusal {
    /// Describes it for people, if these words fit what was tried. `code` is what the server or the file system calls it.
    pub fn describe(self, action: Action<'_>, code: impl fmt::Display) -> Option<Reason> {
        Some(match (self, action) {
            (Self::NotADirectory, Action::Segment(segment)) => Fault::NotADirectory.because(format!(
                "{segment:?} on the way is a file or a symbolic link; links are never followed. Move it away, or \
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
                "the file system does not take the directory's name ({code}). Change the name."
            )),
            (Self::Exists, Action::Rename) => {
                Fault::Other.because(format!("something is at the new place already ({code}). Move it away."))
            }
            (Self::Missing, Action::Rename) => Fault::Other.because(format!(
                "the directory that it is to be moved into is not there ({code})."
            )),
            (Self::NotADirectory | Self::BadName | Self::Exists | Self::Missing, _) => return None,
        })
    }
}

/// Says in which directory of a tree something went wrong.
pub(super) fn inside(name: &str, (fault, text): Reason) -> Reason {
    fault.because(format!("in its directory {name:?}, {text}"))
}

/// What one call found is no longer there at the next one, several times.
pub(super) fn keeps_changing(code: impl fmt::Display) -> Reason {
    Fault::Busy.because(format!(
        "what one call found was gone at the next call, several times ({code}). Another program changes it at the \
         same time."
    ))
}

/// A directory of a tree is not empty, and nothing in it is listed. The tree itself has no name.
pub(super) fn unlisted_entries(name: &str) -> Reason {
    let text = "the server lists nothing in it and says that it is not empty: it holds entries that the server does \
                not list, most likely snapshots (.snap on CephFS). Remove its snapshots on the server.";
    let reason = Fault::HiddenEntries.because(text);
    if name.is_empty() { reason } else { inside(name, reason) }
}

/// A tree that is to be removed does not get empty.
pub(super) fn keeps_filling() -> Reason {
    Fault::Busy.because("files appear in it as fast as they are removed. Stop what still writes there.")
}

/// A directory with more names than this is not listed: 250 MB of memory at worst.
pub(super) const MAX_NAMES: usize = 1_000_000;
pub(super) const TOO_MANY_NAMES: &str = "it has more than a million names. Divide it into several directories.";

//! The attributes of directories: which are set, and which are checked. The rules are the same for NFS and for mounts.

use super::refusal::Action;
use super::status::Status;
use super::{Attributes, Found};

/// The attributes of new parents.
pub(super) const PARENT_ATTRIBUTES: Attributes = Attributes {
    mode: Some(0o755),
    uid: None,
    gid: None,
};

/// Attributes to set. An attribute that is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Change {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Change {
    pub fn mode(mode: u32) -> Self {
        let mode = Some(mode);
        Self {
            mode,
            ..Self::default()
        }
    }

    /// Returns the changes that give a directory these attributes: the owner first, because a change of owner may drop bits
    /// of the mode.
    pub fn all(wanted: Attributes) -> impl Iterator<Item = (Action<'static>, Self)> {
        let Attributes { mode, uid, gid } = wanted;
        let owner = Self { mode: None, uid, gid };
        let owner = uid.or(gid).map(|_| (Action::SetOwner, owner));
        let mode = mode.map(|mode| (Action::SetMode, Self::mode(mode)));
        owner.into_iter().chain(mode)
    }
}

/// Returns the mode with which a directory is created, before its owner and its mode are set. If the mode cannot be set
/// later, the directory keeps this one.
pub(super) fn initial_mode(wanted: Attributes) -> u32 {
    match wanted.mode {
        // What mkdir gives with the usual umask.
        None => 0o755,
        // No other user may write to it before it has its owner.
        Some(mode) if wanted.uid.or(wanted.gid).is_some() => mode & 0o755,
        Some(mode) => mode & 0o777,
    }
}

/// Returns the attributes to try after the server has refused to set the mode: first the mode without setuid, setgid and
/// sticky bits, then no mode.
pub(super) fn after_refused_mode(wanted: Attributes) -> Attributes {
    let plain = wanted.mode.map(|mode| mode & 0o777);
    Attributes {
        mode: plain.filter(|_| plain != wanted.mode),
        ..wanted
    }
}

/// Why a directory does not have the wanted attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeError {
    /// A call that sets them was refused.
    Refused(Action<'static>, Status),
    /// The calls succeeded, but the directory has another owner.
    Owner,
}

impl AttributeError {
    /// Returns whether the server does not let the mode be set. Then the directory has another mode, which is not an error.
    /// Servers with their own ACLs do this, and servers with the NTFS security style.
    pub fn mode_cannot_be_set(self) -> bool {
        let statuses = [
            Status::PERM,
            Status::ACCESS,
            Status::INVAL,
            Status::NOTSUPP,
            Status::ATTRNOTSUPP,
        ];
        matches!(self, Self::Refused(Action::SetMode, status) if statuses.contains(&status))
    }

    /// Checks the owner: some servers and file systems report success and set another owner. The mode is not checked here.
    pub fn check(found: &Found, wanted: Attributes) -> Result<(), Self> {
        let other = |is: Option<u32>, wanted: Option<u32>| match (is, wanted) {
            (Some(is), Some(wanted)) => is != wanted,
            (None, Some(wanted)) => {
                // The server sent a name: it cannot be compared, and the call that set it succeeded.
                tracing::debug!(identity = %found.identity, wanted, "the server does not send a numeric owner");
                false
            }
            (_, None) => false,
        };
        let is_other = other(found.uid, wanted.uid) || other(found.gid, wanted.gid);
        if is_other { Err(Self::Owner) } else { Ok(()) }
    }
}

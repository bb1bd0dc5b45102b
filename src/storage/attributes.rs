//! The check that a directory has the attributes that were asked for: the same rule for NFS and for mounts.

use super::refusal::Action;
use super::{Attributes, Found};

/// The attributes of missing parents that are made.
pub(super) const OF_PARENTS: Attributes = Attributes {
    mode: 0o755,
    uid: None,
    gid: None,
};

/// Attributes to set; those that are none stay.
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
        owner.into_iter().chain([(Action::SetMode, Self::mode(mode))])
    }
}

/// Why a directory does not have the attributes that were asked for. `Code` is what the server or the file system answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeError<Code> {
    /// A call that sets them was refused.
    Refused(Action<'static>, Code),
    /// The calls succeeded, and it has another owner.
    Owner,
    /// The calls succeeded, and it has another mode.
    Mode { is: u32, wanted: u32 },
}

impl<Code> AttributeError<Code> {
    /// Checks the attributes; some servers and file systems report success and set others.
    pub fn check(found: &Found, wanted: Attributes) -> Result<(), Self> {
        let other = |is: Option<u32>, wanted: Option<u32>| match (is, wanted) {
            (Some(is), Some(wanted)) => is != wanted,
            (None, Some(wanted)) => {
                // The server sent a name: it cannot be compared, and the call that set it succeeded.
                tracing::debug!(identity = %found.identity, wanted, "the server does not tell the owner as a number");
                false
            }
            (_, None) => false,
        };
        if other(found.uid, wanted.uid) || other(found.gid, wanted.gid) {
            return Err(Self::Owner);
        }
        if found.mode != wanted.mode {
            return Err(Self::Mode {
                is: found.mode,
                wanted: wanted.mode,
            });
        }
        Ok(())
    }
}

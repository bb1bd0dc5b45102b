//! What a directory that is made is to be like, and whether it came out so: the same rule on every way to a share.

use super::{Attributes, Found};

/// What parents get that are missing.
pub(super) const OF_PARENTS: Attributes = Attributes {
    mode: 0o755,
    uid: None,
    gid: None,
};

/// Why a directory is not as it was asked for. Action and code are those of the way to its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeError<Action, Code> {
    /// A call that was to bring it about was refused.
    Refused(Action, Code),
    /// All went well, and it belongs to somebody else.
    Owner,
    /// All went well, and it has another mode.
    Mode { is: u32, wanted: u32 },
}

impl<Action, Code> AttributeError<Action, Code> {
    /// Whether all was done that was asked for; some servers and file systems say yes and do otherwise.
    pub fn check(found: &Found, wanted: Attributes) -> Result<(), Self> {
        let other = |is: Option<u32>, wanted: Option<u32>| match (is, wanted) {
            (Some(is), Some(wanted)) => is != wanted,
            (None, Some(wanted)) => {
                // Told as a name: it cannot be compared, and the call that set it went well.
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

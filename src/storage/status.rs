//! The status of an NFS operation (`nfsstat4`: RFC 8881, 15.1; `nfsstat3`: RFC 1813, 2.6, with the same numbers). On a mount
//! it is converted from the error of a file system call ([`super::errno`]).

use std::fmt;

use crate::model::directory::NfsVersion;

/// The status of an operation, known to this client or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub u32);

/// Defines the constants and their names in errors.
macro_rules! statuses {
    ($($name:ident = $number:literal,)*) => {
        impl Status {
            $(pub const $name: Self = Self($number);)*

            /// The statuses that this client knows.
            #[cfg(test)]
            pub const KNOWN: &[Self] = &[$(Self::$name,)*];

            fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    OK = 0,
    PERM = 1,
    NOENT = 2,
    IO = 5,
    NXIO = 6,
    ACCESS = 13,
    EXIST = 17,
    XDEV = 18,
    NODEV = 19,
    NOTDIR = 20,
    ISDIR = 21,
    INVAL = 22,
    NOSPC = 28,
    ROFS = 30,
    MLINK = 31,
    NAMETOOLONG = 63,
    NOTEMPTY = 66,
    DQUOT = 69,
    STALE = 70,
    BADHANDLE = 10001,
    BAD_COOKIE = 10003,
    NOTSUPP = 10004,
    SERVERFAULT = 10006,
    BADTYPE = 10007,
    DELAY = 10008,
    EXPIRED = 10011,
    GRACE = 10013,
    FHEXPIRED = 10014,
    WRONGSEC = 10016,
    CLID_INUSE = 10017,
    RESOURCE = 10018,
    MOVED = 10019,
    MINOR_VERS_MISMATCH = 10021,
    STALE_CLIENTID = 10022,
    NOT_SAME = 10027,
    SYMLINK = 10029,
    ATTRNOTSUPP = 10032,
    BADXDR = 10036,
    BADOWNER = 10039,
    BADCHAR = 10040,
    BADNAME = 10041,
    OP_ILLEGAL = 10044,
    FILE_OPEN = 10046,
    BADSESSION = 10052,
    BADSLOT = 10053,
    COMPLETE_ALREADY = 10054,
    CONN_NOT_BOUND_TO_SESSION = 10055,
    SEQ_MISORDERED = 10063,
    REQ_TOO_BIG = 10065,
    REP_TOO_BIG = 10066,
    RETRY_UNCACHED_REP = 10068,
    TOO_MANY_OPS = 10070,
    CLIENTID_BUSY = 10074,
    SEQ_FALSE_RETRY = 10076,
    BAD_HIGH_SLOT = 10077,
    DEADSESSION = 10078,
}

impl Status {
    /// Returns whether the server asks to try again later.
    pub fn asks_to_retry(self) -> bool {
        matches!(self, Self::DELAY | Self::GRACE)
    }

    /// Returns whether the server does not know the session or its client any more.
    pub fn lost_session(self) -> bool {
        matches!(
            self,
            Self::BADSESSION | Self::DEADSESSION | Self::STALE_CLIENTID | Self::EXPIRED
        )
    }

    /// Returns whether the file handle is no longer valid: the file is gone, or the server has forgotten the handle.
    pub fn stale_handle(self) -> bool {
        matches!(self, Self::STALE | Self::FHEXPIRED | Self::BADHANDLE)
    }
}

impl Status {
    /// Returns its name in the RFC of this version and in server logs.
    pub fn in_version(self, version: NfsVersion) -> impl fmt::Display {
        fmt::from_fn(move |f| match (version, self, self.name()) {
            (_, _, None) => write!(f, "NFS status {}", self.0),
            (NfsVersion::V3, Self::ACCESS, _) => f.write_str("NFS3ERR_ACCES"),
            (NfsVersion::V3, Self::DELAY, _) => f.write_str("NFS3ERR_JUKEBOX"),
            (NfsVersion::V3, _, Some(name)) => write!(f, "NFS3ERR_{name}"),
            (NfsVersion::V4, _, Some(name)) => write!(f, "NFS4ERR_{name}"),
        })
    }
}

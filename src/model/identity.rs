//! The identity of a directory: the numbers of its file system and of its file.

use std::fmt;
use std::str::FromStr;

/// The identity of a directory: the number of the file system and the number of the file in it (RFC 8881, 5.8.1.9 and
/// 5.8.2.12). A directory that later gets the same path has another identity. The volume records it as
/// `major.minor:fileid` in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The number of the file system, major and minor.
    pub fsid: (u64, u64),
    /// The number of the file.
    pub fileid: u64,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}:{:x}", self.fsid.0, self.fsid.1, self.fileid)
    }
}

impl FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let number = |text| u64::from_str_radix(text, 16).map_err(|_| NotAnIdentity);
        let (fsid, fileid) = text.split_once(':').ok_or(NotAnIdentity)?;
        let (major, minor) = fsid.split_once('.').ok_or(NotAnIdentity)?;
        Ok(Self {
            fsid: (number(major)?, number(minor)?),
            fileid: number(fileid)?,
        })
    }
}

/// The error of a text that is not an [`Identity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form major.minor:fileid in hexadecimal")]
pub struct NotAnIdentity;

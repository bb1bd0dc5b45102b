//! Mode, owner and group of a directory.

/// Mode, owner and group that a new directory gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, including setuid, setgid and sticky; if not set, the server chooses.
    pub mode: Option<u32>,
    /// Owner; if not set, the server chooses.
    pub uid: Option<u32>,
    /// Group; if not set, the server chooses.
    pub gid: Option<u32>,
}

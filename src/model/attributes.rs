//! Mode, owner and group of a directory.

/// What a new directory gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner; the server's choice if not set.
    pub uid: Option<u32>,
    /// Group; the server's choice if not set.
    pub gid: Option<u32>,
}

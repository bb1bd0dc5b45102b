//! What a listing of a directory consists of: names, their sizes, and positions.

/// The name of a file: bytes, as the server stores them.
pub(in crate::storage) type Name = Vec<u8>;

/// What an object adds to the space that a tree uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) struct ObjectSize {
    /// The file system that contains it.
    pub fsid: (u64, u64),
    pub fileid: u64,
    /// The number of its names: more than 1 for a file with hard links.
    pub links: u32,
    /// The bytes that it uses on the disk. If the server does not tell, its length.
    pub used: u64,
    /// Whether another file system is mounted on it.
    pub is_mounted: bool,
}

/// The position where a page of a directory begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::storage) struct Position {
    pub cookie: u64,
    pub verifier: [u8; 8],
}

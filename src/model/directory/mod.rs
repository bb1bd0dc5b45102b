//! Paths on an NFS server, as types that cannot point outside the share.
//!
//! A [`Share`] is an export of a server; a [`Directory`] is strictly below it. Text from users is converted to these
//! types here. The storage functions accept only these types. `Share::parse("nas1", "/export/")` is `nas1:/export`;
//! `Directory::parse("team-a/data")` has two segments; `Directory::parse("../x")` returns an error that says what is
//! wrong.

mod check;
mod reserved_names;
mod same_name;
mod share;
mod trash_root;

use std::fmt;

pub use self::check::{Shown, WrongPath, is_snapshots};
use self::check::{check_length, check_meaning, check_segment, check_visible};
pub use self::reserved_names::{ArchiveName, InTrash};
pub use self::same_name::{is_same_name, is_same_without_case, normal};
pub use self::share::{NfsVersion, NotAShare, Share, path_segments};
pub use self::trash_root::TrashRoot;

/// The prefix of the names of archives.
const ARCHIVED: &str = "archived-";
/// The prefix of all other reserved names below a share.
const RESERVED: &str = ".bindery-";

/// A directory strictly below a share.
///
/// Invariant: 1 to 32 segments and at most 1,024 bytes. Each segment is a plain name of at most 255 bytes: not empty,
/// not `.` or `..`, without slash, control character, invisible character, or space at its ends. No value of this type
/// leads out of the share or to the share itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Directory(String);

impl Directory {
    /// Reads a directory from the text of a user, a template or a volume. Refuses names that are reserved for Bindery,
    /// names of snapshots, and names of deleted files that are still open.
    pub fn parse(text: &str) -> Result<Self, NotADirectory> {
        let check = || {
            if text.starts_with('/') {
                return Err(WrongPath::Absolute);
            }
            check_length(text)?;
            for segment in text.split('/') {
                check_segment(segment)?;
                check_visible(segment)?;
                check_meaning(segment)?;
                if Self::is_archive_name(segment) || segment.starts_with(RESERVED) {
                    return Err(WrongPath::Reserved(segment.to_owned()));
                }
            }
            Ok(())
        };
        match check() {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(error) => Err(NotADirectory(text.to_owned(), error)),
        }
    }

    /// The path for a message.
    pub fn shown(&self) -> Shown<'_> {
        Shown(&self.0)
    }

    /// Whether the directory of no other volume can be above or below this new one: it is a single segment, and it contains
    /// the name of its new volume.
    pub fn cannot_overlap(&self, volume: &str) -> bool {
        self.0.contains(volume) && !self.0.contains('/')
    }

    /// The segments, starting below the share; at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The segments above the last, and the last.
    pub fn split_last(&self) -> (Vec<&str>, &str) {
        let mut segments: Vec<&str> = self.segments().collect();
        let last = segments.pop().unwrap_or_default();
        (segments, last)
    }

    /// The directory above it; `None` if that is the share.
    pub fn parent(&self) -> Option<Self> {
        let (above, _) = self.0.rsplit_once('/')?;
        Some(Self(above.to_owned()))
    }

    /// The path below the share, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("directory {shown:?} {1}", shown = Shown(.0))]
pub struct NotADirectory(pub String, pub WrongPath);

#[cfg(test)]
mod tests;

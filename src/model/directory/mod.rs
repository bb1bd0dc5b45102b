//! Places on an NFS server, as types that cannot point outside the share.
//!
//! A [`Share`] is what a server exports; a [`Directory`] lies strictly below it. Text from people becomes one of these
//! here, once, and storage takes nothing else. `Share::parse("nas1", "/export/")` is `nas1:/export`;
//! `Directory::parse("team-a/data")` is two segments; `Directory::parse("../x")` says what is wrong with it.

mod check;
mod reserved_names;
mod share;
mod trash_root;

use std::fmt;

pub use self::check::{Shown, WrongPath};
use self::check::{check_length, check_meaning, check_segment, check_visible};
pub use self::reserved_names::InTrash;
pub use self::share::{NfsVersion, NotAShare, Share, segments};
pub use self::trash_root::TrashRoot;

/// What the names of archives begin with.
const ARCHIVED: &str = "archived-";
/// What else Bindery keeps for itself below a share.
const OWN: &str = ".bindery-";

/// A directory strictly below a share.
///
/// Invariant: 1 to 32 segments of 1,024 bytes together, each a plain name of at most 255 bytes: not empty, `.` or `..`,
/// without slash, control character, blank at its ends or character that nobody sees. No value of this type leads out of
/// the share or to the share itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Directory(String);

impl Directory {
    /// Reads a directory from text that a person, a template or a volume brings. Names that Bindery keeps for itself are
    /// refused, and names of snapshots and of deleted files that are still open.
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
                if segment.starts_with(ARCHIVED) || segment.starts_with(OWN) {
                    return Err(WrongPath::Reserved(segment.to_owned()));
                }
            }
            Ok(())
        };
        match check() {
            Ok(()) => Ok(Self(text.to_owned())),
            Err(wrong) => Err(NotADirectory(text.to_owned(), wrong)),
        }
    }

    /// As a message shows it.
    pub fn shown(&self) -> Shown<'_> {
        Shown(&self.0)
    }

    /// Whether no other volume's directory can be above or in it when it is made: a single segment has nothing above but
    /// the share, and nothing yet in one that bears a name as fresh as its volume's.
    pub fn stands_alone(&self, volume: &str) -> bool {
        self.0.contains(volume) && !self.0.contains('/')
    }

    /// The segments, from the share down; never none.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The segments above the last, and the last.
    pub fn split_last(&self) -> (Vec<&str>, &str) {
        let mut segments: Vec<&str> = self.segments().collect();
        let last = segments.pop().unwrap_or_default();
        (segments, last)
    }

    /// The path below the share, without a slash at its ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no [`Directory`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("directory {shown:?} {1}", shown = Shown(.0))]
pub struct NotADirectory(pub String, pub WrongPath);

#[cfg(test)]
mod tests;

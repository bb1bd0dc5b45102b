//! What a path may be made of, and how messages tell what is wrong with one.

use std::fmt;

/// The longest name that NFS servers take, in bytes (their file systems' `NAME_MAX`).
pub(super) const LONGEST_SEGMENT: usize = 255;
/// The longest path below a share, in bytes: with the export before it, it stays below what a mount takes (`PATH_MAX`).
const LONGEST: usize = 1024;
/// The deepest: each segment is one question to the server, each time.
const DEEPEST: usize = 32;
/// How many characters of a text a message shows: those at its ends.
const SHOWN: usize = 200;

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPath {
    /// Nothing between two slashes, or nothing at all.
    #[error("has an empty segment")]
    Empty,
    /// It begins with a slash.
    #[error("starts with a slash; write it relative to the share, without the first slash")]
    Absolute,
    /// `.` or `..`.
    #[error("has the segment {0:?}, which would lead out of the share")]
    Dots(String),
    /// NUL, a newline, an escape and the like.
    #[error("contains a control character")]
    Control,
    /// Of two names that look the same, one may have it.
    #[error("contains the character {}, which is invisible or changes the order of other \
    characters", .0.escape_unicode())]
    Hidden(char),
    /// A blank that nobody would see.
    #[error("has the segment {0:?} with a space at its start or end")]
    Blank(String),
    /// Over [`LONGEST_SEGMENT`].
    #[error("has a segment of {0} bytes; NFS servers allow at most 255")]
    LongSegment(usize),
    /// Over [`LONGEST`].
    #[error("has {0} bytes; at most 1024 are allowed")]
    Long(usize),
    /// Over [`DEEPEST`].
    #[error("has {0} segments; at most 32 are allowed")]
    Deep(usize),
    /// A name that Bindery keeps for itself.
    #[error("has the segment {0:?}: names that begin with archived- or .bindery- are reserved for Bindery")]
    Reserved(String),
    /// A name under which servers show snapshots of a directory.
    #[error(
        "has the segment {0:?}: servers show a directory's snapshots under that name, so a volume's path cannot \
        contain it"
    )]
    Snapshot(String),
    /// A name that NFS clients give to a file that is deleted while it is open.
    #[error("has the segment {0:?}: NFS clients give names that begin with .nfs to deleted files that are still open")]
    DeletedFile(String),
}

/// The names under which servers show the snapshots of a directory: CephFS, ONTAP, Spectrum Scale and snapper, ZFS, ONTAP
/// for Windows, VNX. Most of them are in no listing.
const SNAPSHOTS: [&str; 6] = [".snap", ".snapshot", ".snapshots", ".zfs", "~snapshot", ".ckpt"];
/// What the names begin with that NFS clients give to a file that is deleted while it is open.
const DELETED_FILE: &str = ".nfs";

pub(super) fn check_length(path: &str) -> Result<(), WrongPath> {
    match path.split('/').count() {
        _ if path.len() > LONGEST => Err(WrongPath::Long(path.len())),
        depth if depth > DEEPEST => Err(WrongPath::Deep(depth)),
        _ => Ok(()),
    }
}

pub(super) fn check_segment(segment: &str) -> Result<(), WrongPath> {
    match segment {
        "" => Err(WrongPath::Empty),
        "." | ".." => Err(WrongPath::Dots(segment.to_owned())),
        _ if segment.len() > LONGEST_SEGMENT => Err(WrongPath::LongSegment(segment.len())),
        _ if segment.chars().any(char::is_control) => Err(WrongPath::Control),
        _ if segment.trim() != segment => Err(WrongPath::Blank(segment.to_owned())),
        _ => Ok(()),
    }
}

/// Refuses names that mean something else to servers and clients than a directory of a volume. Some servers ignore case.
pub(super) fn check_meaning(segment: &str) -> Result<(), WrongPath> {
    if SNAPSHOTS.iter().any(|name| segment.eq_ignore_ascii_case(name)) {
        return Err(WrongPath::Snapshot(segment.to_owned()));
    }
    let start = segment.get(..DELETED_FILE.len());
    if start.is_some_and(|start| start.eq_ignore_ascii_case(DELETED_FILE)) {
        return Err(WrongPath::DeletedFile(segment.to_owned()));
    }
    Ok(())
}

/// Refuses what a person would not see in a listing: two directories of different tenants must not look like one.
pub(super) fn check_visible(segment: &str) -> Result<(), WrongPath> {
    // Unicode's format characters (Cf) that are met in text, and its separators of lines and paragraphs.
    let hidden = |c: &char| {
        matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
    };
    segment
        .chars()
        .find(hidden)
        .map_or(Ok(()), |c| Err(WrongPath::Hidden(c)))
}

/// A text as a message shows it: of a very long one, the two ends.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Shown<'_> {
    /// Both ends; `None` if all of it is shown.
    fn ends(&self) -> Option<(&str, &str)> {
        // No text has more characters than bytes.
        if self.0.len() <= SHOWN || self.0.chars().count() <= SHOWN {
            return None;
        }
        let (front, _) = self.0.char_indices().nth(SHOWN / 2)?;
        let (back, _) = self.0.char_indices().nth_back(SHOWN / 2 - 1)?;
        Some((&self.0[..front], &self.0[back..]))
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ends() {
            None => f.write_str(self.0),
            Some((front, back)) => write!(f, "{front}[...]{back}"),
        }
    }
}

/// In quotes, and with what cannot be printed written out.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ends() {
            None => write!(f, "{:?}", self.0),
            Some((front, back)) => write!(f, "{:?}", format!("{front}[...]{back}")),
        }
    }
}

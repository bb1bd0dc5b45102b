//! Checks of paths, and the messages about paths that are not allowed.

use std::borrow::Cow;
use std::fmt;

/// The longest name that NFS servers accept, in bytes (`NAME_MAX` of their file systems).
pub(super) const LONGEST_SEGMENT: usize = 255;
/// The longest path below a share, in bytes. Together with the path of the export it stays below `PATH_MAX`, the limit of a
/// mount.
const LONGEST: usize = 1024;
/// The most segments of a path. Each segment is one request to the server, on every access.
const DEEPEST: usize = 32;
/// The number of characters of a long text that a message shows, half from each end.
const SHOWN: usize = 200;

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPath {
    /// An empty segment, or an empty path.
    #[error("has an empty segment")]
    Empty,
    /// Starts with a slash.
    #[error("starts with a slash; write it relative to the share, without the first slash")]
    Absolute,
    /// `.`.
    #[error("has the segment \".\", which means the directory itself; leave it out")]
    Dot,
    /// `..`.
    #[error("has the segment \"..\", which means the directory above; write the path without it")]
    DotDot,
    /// NUL, newline, escape or another control character.
    #[error("contains a control character")]
    Control,
    /// An invisible character: two different names would look the same.
    #[error("contains the character {}, which is invisible or changes the order of other \
    characters", .0.escape_unicode())]
    Hidden(char),
    /// A space at the start or end of a segment.
    #[error("has the segment {0:?} with a space at its start or end")]
    Blank(String),
    /// Longer than [`LONGEST_SEGMENT`].
    #[error("has a segment of {0} bytes; NFS servers allow at most 255")]
    LongSegment(usize),
    /// Longer than [`LONGEST`].
    #[error("has {0} bytes; at most 1024 are allowed")]
    Long(usize),
    /// More segments than [`DEEPEST`].
    #[error("has {0} segments; at most 32 are allowed")]
    Deep(usize),
    /// A name that is reserved for Bindery.
    #[error("has the segment {0:?}: names of archives, and names that begin with .bindery-, are reserved for Bindery")]
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

/// The names under which servers show the snapshots of a directory: CephFS, ONTAP, Spectrum Scale and snapper, ZFS,
/// ONTAP for Windows, VNX. Most of them do not appear in directory listings.
const SNAPSHOTS: [&str; 6] = [".snap", ".snapshot", ".snapshots", ".zfs", "~snapshot", ".ckpt"];
/// The prefix of the names that NFS clients give to a file that is deleted while it is open.
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
        "." => Err(WrongPath::Dot),
        ".." => Err(WrongPath::DotDot),
        _ if segment.len() > LONGEST_SEGMENT => Err(WrongPath::LongSegment(segment.len())),
        _ if segment.chars().any(char::is_control) => Err(WrongPath::Control),
        _ if segment.trim() != segment => Err(WrongPath::Blank(segment.to_owned())),
        _ => Ok(()),
    }
}

/// Whether servers show the snapshots of a directory under this name.
pub fn is_snapshots(name: &[u8]) -> bool {
    SNAPSHOTS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// Refuses names that have a special meaning for servers or clients, in upper and lower case: some servers ignore case.
pub(super) fn check_meaning(segment: &str) -> Result<(), WrongPath> {
    if is_snapshots(segment.as_bytes()) {
        return Err(WrongPath::Snapshot(segment.to_owned()));
    }
    let start = segment.get(..DELETED_FILE.len());
    if start.is_some_and(|start| start.eq_ignore_ascii_case(DELETED_FILE)) {
        return Err(WrongPath::DeletedFile(segment.to_owned()));
    }
    Ok(())
}

/// Refuses invisible characters: the directories of two tenants must not look the same in a listing.
pub(super) fn check_visible(segment: &str) -> Result<(), WrongPath> {
    // The format characters of Unicode (Cf) that occur in text, and its line and paragraph separators.
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

/// A text for a message. A very long text is shortened to its two ends.
#[derive(Clone, Copy)]
pub struct Shown<'a>(pub &'a str);

impl Shown<'_> {
    fn text(&self) -> Cow<'_, str> {
        // A text never has more characters than bytes.
        if self.0.len() <= SHOWN || self.0.chars().count() <= SHOWN {
            return self.0.into();
        }
        let front: String = self.0.chars().take(SHOWN / 2).collect();
        let back = self
            .0
            .char_indices()
            .nth_back(SHOWN / 2 - 1)
            .map_or(0, |(start, _)| start);
        format!("{front}[...]{}", &self.0[back..]).into()
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// In quotes, with non-printable characters escaped.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

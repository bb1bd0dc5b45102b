//! Places on an NFS server, as types that cannot point outside the share.
//!
//! A [`Share`] is what a server exports; a [`Directory`] lies strictly below it. Text from people becomes one of these
//! here, once, and storage takes nothing else. `Share::parse("nas1", "/export/")` is `nas1:/export`;
//! `Directory::parse("team-a/data")` is two segments; `Directory::parse("../x")` says what is wrong with it.

mod depot;
mod own;

use std::fmt;

pub use self::depot::Depot;

/// The longest name that NFS servers take, in bytes (their file systems' `NAME_MAX`).
const LONGEST_SEGMENT: usize = 255;
/// What the names of archives begin with.
const ARCHIVED: &str = "archived-";
/// What else Bindery keeps for itself below a share.
const OWN: &str = ".bindery-";

/// An export of an NFS server.
///
/// Invariant: the server is not empty and lower-case; the path is absolute, without `.`, `..`, empty segments or a
/// trailing slash (the root is `/`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share {
    server: String,
    path: String,
    version: NfsVersion,
}

/// How Bindery talks to a share's server. Pods mount it as the class's `mountOptions` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NfsVersion {
    /// Version 4.2, or 4.1 where the server has no more.
    #[default]
    V4,
    /// Version 3.
    V3,
}

impl NfsVersion {
    /// The parameter's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V3 => "3",
        }
    }
}

impl Share {
    /// Reads a server and an export as a class or a flag names them. The error says what is wrong, without the key.
    pub fn parse(server: &str, path: &str) -> Result<Self, NotAShare> {
        let server = server.trim_end_matches('.').to_ascii_lowercase();
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == '/';
        if server.is_empty() || server.contains(odd) {
            return Err(NotAShare::Server(server));
        }
        if !path.starts_with('/') {
            return Err(NotAShare::Relative(path.to_owned()));
        }
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            check_segment(segment).map_err(|wrong| NotAShare::Segment(path.to_owned(), wrong))?;
            segments.push(segment);
        }
        Ok(Self {
            server,
            path: format!("/{}", segments.join("/")),
            version: NfsVersion::default(),
        })
    }

    /// The same share, spoken to in this version.
    pub fn over(self, version: NfsVersion) -> Self {
        Self { version, ..self }
    }

    /// The version that its server is spoken to in.
    pub fn version(&self) -> NfsVersion {
        self.version
    }

    /// The host name or address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The absolute path of the export.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The segments of the export's path; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.path.split('/').filter(|segment| !segment.is_empty())
    }

    /// The absolute path of a directory of this share on its server: what `spec.nfs.path` of a volume holds.
    pub fn join(&self, directory: &Directory) -> String {
        format!("{}/{directory}", self.path.trim_end_matches('/'))
    }

    /// What a path on some server names below this share; `None` if it is not strictly below it.
    pub fn below<'a>(&self, server: &str, path: &'a str) -> Option<&'a str> {
        let same = Self::parse(server, "/").is_ok_and(|root| root.server == self.server);
        let rest = path.strip_prefix(self.path.trim_end_matches('/'))?.strip_prefix('/')?;
        (same && !rest.is_empty()).then_some(rest)
    }
}

/// Whether one of two absolute paths is the other, or lies in it.
pub fn overlap(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer.trim_end_matches('/'))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within(one, other) || within(other, one)
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.server, self.path)
    }
}

/// Why a server and a path are no [`Share`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAShare {
    /// The server's name is empty or has a character that no host name has.
    #[error("server {0:?} is not a host name or an address")]
    Server(String),
    /// The path does not begin with a slash.
    #[error("share {0:?} is not an absolute path; write it as the server exports it, such as /export/volumes")]
    Relative(String),
    /// One segment of the path cannot be used.
    #[error("share {0:?} {1}")]
    Segment(String, WrongSegment),
}

/// A directory strictly below a share.
///
/// Invariant: one or more segments, each a plain name of at most 255 bytes: not empty, `.` or `..`, without slash,
/// control character or blank at its ends. No value of this type leads out of the share or to the share itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Directory(String);

impl Directory {
    /// Reads a directory from text that a person, a template or a volume brings. Names that Bindery keeps for itself
    /// are refused.
    pub fn parse(text: &str) -> Result<Self, NotADirectory> {
        for segment in text.split('/') {
            check_segment(segment).map_err(|wrong| NotADirectory(text.to_owned(), wrong))?;
            if segment.starts_with(ARCHIVED) || segment.starts_with(OWN) {
                let wrong = WrongSegment::Reserved(segment.to_owned());
                return Err(NotADirectory(text.to_owned(), wrong));
            }
        }
        Ok(Self(text.to_owned()))
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
#[error("directory {0:?} {1}")]
pub struct NotADirectory(pub String, pub WrongSegment);

/// What is wrong with one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongSegment {
    /// Nothing between two slashes, or nothing at all.
    #[error("has an empty segment")]
    Empty,
    /// `.` or `..`.
    #[error("has the segment {0:?}, which would lead out of its place")]
    Dots(String),
    /// NUL, a newline, an escape and the like.
    #[error("has a control character in it")]
    Control,
    /// A blank that nobody would see.
    #[error("has the segment {0:?} with a blank at an end")]
    Blank(String),
    /// Over [`LONGEST_SEGMENT`].
    #[error("has a segment of {0} bytes; NFS servers take 255 at most")]
    TooLong(usize),
    /// A name that Bindery keeps for itself.
    #[error("has the segment {0:?}: names that begin with archived- or .bindery- are kept for Bindery")]
    Reserved(String),
}

fn check_segment(segment: &str) -> Result<(), WrongSegment> {
    match segment {
        "" => Err(WrongSegment::Empty),
        "." | ".." => Err(WrongSegment::Dots(segment.to_owned())),
        _ if segment.chars().any(char::is_control) => Err(WrongSegment::Control),
        _ if segment.trim() != segment => Err(WrongSegment::Blank(segment.to_owned())),
        _ if segment.len() > LONGEST_SEGMENT => Err(WrongSegment::TooLong(segment.len())),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;

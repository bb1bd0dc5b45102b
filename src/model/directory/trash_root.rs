//! The directory that contains trash and archives: the share, or, for a directory on another file system than the share,
//! the directory above it.
//!
//! A server cannot move a directory to another file system. So trash and archives of such a directory are in the
//! directory above it. A marker below the share records this: an empty directory `.bindery-elsewhere/<instance>/<path>`
//! for trash and archives in `<path>`. Bindery creates a marker before it moves anything, and never removes it: while a
//! file system is not mounted, its directory looks empty.

use super::reserved_names::cut;
use super::{Directory, RESERVED, check_segment};

/// The name, after [`RESERVED`], of the directory below the share with the markers of all instances.
const ELSEWHERE: &str = "elsewhere";

/// A directory that contains trash and archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrashRoot(Option<Directory>);

impl TrashRoot {
    /// The share itself.
    pub const SHARE: Self = Self(None);

    /// The directory above this one; `None` if that is the share.
    pub fn above(directory: &Directory) -> Option<Self> {
        directory.parent().map(|above| Self(Some(above)))
    }

    /// All places where trash and archives of a directory may be: the share, and the directory above it.
    pub fn of(directory: &Directory) -> impl Iterator<Item = Self> {
        [Some(Self::SHARE), Self::above(directory)].into_iter().flatten()
    }

    /// The trash root that contains this archive, or this directory in the trash.
    pub fn containing(own: &Directory) -> Self {
        let mut above = own.0.rsplit_once('/').map(|(above, _)| above);
        if let Some(place) = above {
            let trash = Directory::trash().0;
            let rest = place.strip_suffix(&trash);
            above = rest.map_or(Some(place), |rest| rest.strip_suffix('/'));
        }
        Self(above.map(|above| Directory(above.to_owned())))
    }

    /// The path of a reserved name in this trash root; `None` if the name is not valid.
    pub fn child(&self, name: &str) -> Option<Directory> {
        check_segment(name).ok()?;
        Some(self.place(&Directory(name.to_owned())))
    }

    /// The directory below the share; `None` for the share itself.
    pub fn directory(&self) -> Option<&Directory> {
        self.0.as_ref()
    }

    /// The path in this trash root of a directory that is named relative to the share.
    pub fn place(&self, own: &Directory) -> Directory {
        match &self.0 {
            None => own.clone(),
            Some(above) => Directory(format!("{above}/{own}")),
        }
    }

    /// The parent of the markers of one instance; it contains nothing else.
    pub fn markers(instance: &str) -> Directory {
        Directory(format!("{RESERVED}{ELSEWHERE}/{}", cut(instance)))
    }

    /// The path of the marker for this trash root; `None` for the share, which needs no marker.
    pub fn marker(&self, instance: &str) -> Option<Directory> {
        let here = self.0.as_ref()?;
        Some(Directory(format!("{}/{here}", Self::markers(instance))))
    }

    /// The trash root for an entry of this root's marker directory; `None` if the entry is not a marker.
    pub fn below(&self, name: &str) -> Option<Self> {
        let path = match &self.0 {
            None => name.to_owned(),
            Some(above) => format!("{above}/{name}"),
        };
        Directory::parse(&path).ok().map(|path| Self(Some(path)))
    }
}

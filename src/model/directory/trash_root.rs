//! Where trash and archives lie: below the share itself, or, for a directory on another file system than the share,
//! beside it.
//!
//! A server moves nothing from one file system to another. So what such a directory leaves behind stays in the directory
//! above it, and a sign at the share says where: an empty directory `.bindery-elsewhere/<instance>/<path>` for things in
//! `<path>`. Signs are made before anything is moved and stay, since a file system that is not mounted at the moment looks
//! as if nothing were there.

use super::reserved_names::cut;
use super::{Directory, OWN, check_segment};

/// Below the share, the signs of all instances.
const ELSEWHERE: &str = "elsewhere";

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrashRoot(Option<Directory>);

impl TrashRoot {
    /// The share itself.
    pub const SHARE: Self = Self(None);

    /// The one beside a directory; `None` where that is the share.
    pub fn beside(directory: &Directory) -> Option<Self> {
        let (above, _) = directory.0.rsplit_once('/')?;
        Some(Self(Some(Directory(above.to_owned()))))
    }

    /// Where something of a directory's may lie: in the share, or beside it.
    pub fn of(directory: &Directory) -> impl Iterator<Item = Self> {
        [Some(Self::SHARE), Self::beside(directory)].into_iter().flatten()
    }

    /// The one in which an archive, or something in the trash, lies.
    pub fn around(own: &Directory) -> Self {
        let mut above = own.0.rsplit_once('/').map(|(above, _)| above);
        if let Some(place) = above {
            let trash = Directory::trash().0;
            let rest = place.strip_suffix(&trash);
            above = rest.map_or(Some(place), |rest| rest.strip_suffix('/'));
        }
        Self(above.map(|above| Directory(above.to_owned())))
    }

    /// What has this name here, which only Bindery makes; `None` for what is no name.
    pub fn own(&self, name: &str) -> Option<Directory> {
        check_segment(name).ok()?;
        Some(self.place(&Directory(name.to_owned())))
    }

    /// Which directory of the share it is; `None` for the share itself.
    pub fn directory(&self) -> Option<&Directory> {
        self.0.as_ref()
    }

    /// Where something that would lie below the share lies here.
    pub fn place(&self, own: &Directory) -> Directory {
        match &self.0 {
            None => own.clone(),
            Some(above) => Directory(format!("{above}/{own}")),
        }
    }

    /// Below this are the signs of one instance, and nothing else.
    pub fn signs(instance: &str) -> Directory {
        Directory(format!("{OWN}{ELSEWHERE}/{}", cut(instance)))
    }

    /// What says at the share that this instance has something here; the share needs none.
    pub fn sign(&self, instance: &str) -> Option<Directory> {
        let here = self.0.as_ref()?;
        Some(Directory(format!("{}/{here}", Self::signs(instance))))
    }

    /// The depot that a sign found in the directory of this one's sign stands for; `None` for what is no sign of ours.
    pub fn below(&self, name: &str) -> Option<Self> {
        let path = match &self.0 {
            None => name.to_owned(),
            Some(above) => format!("{above}/{name}"),
        };
        Directory::parse(&path).ok().map(|path| Self(Some(path)))
    }
}

//! The identity of a share. It does not depend on the name of its server.
//!
//! A [`ShareId`] contains what a server reports about the root of a share. All names of a server lead to the same root.
//! If the disk of the share is not mounted, the server reports another root. The volume records the share id as
//! `v4/1.2:3`, with the identity of the server if the protocol has one: `v4/1.2:3/0f8fad5bd9cb469fa16570867728950e`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::model::choices::choices;
use crate::model::identity::Identity;

/// The identity of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShareId {
    /// How the numbers were read.
    pub view: View,
    /// The root of the share.
    pub root: Identity,
    /// A hash of the server's owner and scope (RFC 8881, 2.10.4): the same for all names of a server. Only version 4
    /// has it.
    pub server: Option<Uuid>,
}

choices! {
    /// How the numbers of a file were read. The file number is the same in each view; the file system number may differ.
    #[derive(Hash)]
    View, allowed: "v4, v3 or mounted", {
        /// NFS version 4.
        V4 = "v4",
        /// NFS version 3.
        V3 = "v3",
        /// A mount.
        Mounted = "mounted",
    }
}

/// How the root of a share differs from the root that a volume records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootChange {
    /// Only the file system number differs: usually `fsid=` of the export was added, changed or removed.
    FileSystem,
    /// The file number differs: it is another directory.
    Root,
}

impl ShareId {
    /// Returns how the root differs now. Different views show different file system numbers, and the same file number.
    ///
    /// `None` does not prove that the disk is the same: with `fsid=` on the export, two disks have one file system number,
    /// and the root of every new disk has the same file number (2 on ext4, 128 on xfs, 256 on btrfs).
    pub fn change(self, now: Self) -> Option<RootChange> {
        if self.root.fileid != now.root.fileid {
            Some(RootChange::Root)
        } else if self.view == now.view && self.root.fsid != now.root.fsid {
            Some(RootChange::FileSystem)
        } else {
            None
        }
    }
}

/// A file, and how its numbers were read.
pub type Seen = (View, Identity);

/// Whether two files may be the same, according to their numbers. The file system numbers of two views cannot be compared:
/// then files with the same file number on one server are treated as the same.
pub fn may_be_one_file(one: Seen, other: Seen, one_server: bool) -> bool {
    let ((view, one), (other_view, other)) = (one, other);
    if one.fileid != other.fileid {
        return false;
    }
    match (view, other_view) {
        _ if view == other_view => one.fsid == other.fsid,
        _ if one_server => true,
        (View::V4, View::V3) => is_v3_form(other.fsid.0, one.fsid),
        (View::V3, View::V4) => is_v3_form(one.fsid.0, other.fsid),
        // A mount does not show the file system number of the server.
        _ => false,
    }
}

/// Whether a server that reports the file system numbers `major` and `minor` in version 4 may report `v3` in version 3.
/// The protocol does not define the relation. Linux reports the number of `fsid=`, the number of the device, or both
/// halves of the UUID combined. Ganesha combines the two numbers, with the halves of one exchanged.
fn is_v3_form(v3: u64, (major, minor): (u64, u64)) -> bool {
    let device = (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12);
    [
        major,
        device,
        major ^ minor,
        (major ^ minor).swap_bytes(),
        major ^ minor.rotate_left(32),
    ]
    .contains(&v3)
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.view, self.root)?;
        match self.server {
            Some(server) => write!(f, "/{}", server.simple()),
            None => Ok(()),
        }
    }
}

impl FromStr for ShareId {
    type Err = NotAShareId;

    fn from_str(text: &str) -> Result<Self, NotAShareId> {
        let mut parts = text.split('/');
        let view = parts.next().and_then(|view| view.parse().ok()).ok_or(NotAShareId)?;
        let root = parts.next().and_then(|root| root.parse().ok()).ok_or(NotAShareId)?;
        let server = parts.next().map(|server| server.parse().map_err(|_| NotAShareId));
        let server = server.transpose()?;
        if parts.next().is_some() {
            return Err(NotAShareId);
        }
        Ok(Self { view, root, server })
    }
}

/// The error of a text that is not a [`ShareId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form view/major.minor:fileid, where view is v4, v3 or mounted")]
pub struct NotAShareId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_share_id_is_read_back() {
        let root = Identity {
            fsid: (0x1a, 0xff),
            fileid: 0x100,
        };
        for (view, server, text) in [
            (View::V4, None, "v4/1a.ff:100"),
            (View::V3, None, "v3/1a.ff:100"),
            (View::Mounted, None, "mounted/1a.ff:100"),
            (
                View::V4,
                Some(Uuid::from_u128(0xa)),
                "v4/1a.ff:100/0000000000000000000000000000000a",
            ),
        ] {
            let id = ShareId { view, root, server };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for text in [
            "",
            "v4",
            "v5/1.2:3",
            "v4/1.2",
            "v4/1.2:3/x",
            "v4/1.2:3/0000000000000000000000000000000a/",
        ] {
            assert_eq!(text.parse::<ShareId>(), Err(NotAShareId), "{text}");
        }
    }

    #[test]
    fn the_root_of_a_share_has_changed_if_a_number_differs_that_both_views_show() {
        let id = |view, fsid, fileid| ShareId {
            view,
            root: Identity { fsid, fileid },
            server: None,
        };
        let before = id(View::V4, (8, 1), 2);
        assert_eq!(before.change(before), None);
        let moved = ShareId {
            server: Some(Uuid::nil()),
            ..before
        };
        assert_eq!(before.change(moved), None, "the server may have another name");
        let numbered = id(View::V4, (7, 0), 2);
        assert_eq!(
            before.change(numbered),
            Some(RootChange::FileSystem),
            "fsid=7 was added"
        );
        assert_eq!(before.change(id(View::V4, (8, 1), 130)), Some(RootChange::Root));
        assert_eq!(before.change(id(View::V4, (7, 0), 130)), Some(RootChange::Root));
        assert_eq!(before.change(id(View::V3, (0x801, 0), 2)), None);
        assert_eq!(before.change(id(View::V3, (0x801, 0), 130)), Some(RootChange::Root));
    }

    fn file(view: View, fsid: (u64, u64), fileid: u64) -> Seen {
        (view, Identity { fsid, fileid })
    }

    #[test]
    fn in_one_view_both_numbers_must_be_equal() {
        let v4 = |fsid, fileid| file(View::V4, fsid, fileid);
        for one_server in [true, false] {
            assert!(may_be_one_file(v4((8, 1), 2), v4((8, 1), 2), one_server));
            assert!(!may_be_one_file(v4((8, 1), 2), v4((8, 2), 2), one_server));
            assert!(!may_be_one_file(v4((8, 1), 2), v4((8, 1), 3), one_server));
        }
    }

    #[test]
    fn in_two_views_the_file_number_decides_on_one_server_only() {
        let (v4, mounted) = (file(View::V4, (8, 1), 2), file(View::Mounted, (0x6969, 0), 2));
        assert!(may_be_one_file(v4, mounted, true));
        assert!(!may_be_one_file(v4, mounted, false));
        assert!(!may_be_one_file(v4, file(View::Mounted, (0x6969, 0), 3), true));
        assert!(may_be_one_file(v4, file(View::V3, (99, 0), 2), true));
    }

    #[test]
    fn a_version_3_file_system_number_is_derived_from_version_4() {
        let may_be = |v4, v3| {
            let (v4, v3) = (file(View::V4, v4, 2), file(View::V3, (v3, 0), 2));
            let answer = may_be_one_file(v4, v3, false);
            assert_eq!(answer, may_be_one_file(v3, v4, false));
            answer
        };
        assert!(may_be((7, 0), 7), "fsid=7 of Linux");
        assert!(may_be((8, 0x11), 0x811), "a device of Linux");
        assert!(may_be((0x0102, 0x0304), 0x0602_0000_0000_0000), "a UUID of Linux");
        assert!(may_be((0x98, 0x97), 0x98 ^ (0x97 << 32)), "Ganesha");
        assert!(!may_be((8, 0x11), 0x821));
    }
}

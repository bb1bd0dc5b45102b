//! The attributes and the identity of a directory (statx and statfs).
//!
//! An [`Identity`] is recorded on a volume for years, and meanwhile the share is mounted again: on another node, by another
//! kernel, with other options. So it must not contain what distinguishes file systems only within one mount (tested with Linux'
//! own NFS client; the others by documentation):
//! - `st_dev` of NFS, CephFS and FUSE is a number that the kernel increases with every mount.
//! - `f_fsid` is 0 on NFS and FUSE (the server's own is not shown), the number of the block device on XFS, and on CephFS
//!   depends on mount options and kernel.
//!
//! A fsid that changes would prevent every cleanup for good. The fsid here is the kind of file system, and `f_fsid` only for
//! the kinds that keep it on the disk. That is safe: if the share is not mounted, the disk below it is of another kind; and the
//! number of the file is the server's own.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, StatxAttributes, StatxFlags, fstatfs, fstatvfs, statx};
use rustix::io::Errno;

use crate::model::identity::Identity;
use crate::storage::Found;

/// The kinds whose `f_fsid` comes from a UUID on the disk, or ends with the files: ext2 to ext4, Btrfs, tmpfs.
const STABLE_FSID_KINDS: [u64; 3] = [0xef53, 0x9123_683e, 0x0102_1994];

/// A directory's attributes.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct File {
    pub found: Found,
    /// The file system within this mount.
    pub device: (u32, u32),
    /// Whether something is mounted on it; kernels before 5.8 do not say.
    pub mounted: Option<bool>,
}

impl File {
    /// Asks the file system, and its server if there is one: with old attributes of a directory, Linux would look up names in
    /// its cache only. If `near` is on the same file system, one call fewer is needed.
    pub fn of(directory: impl AsFd, near: Option<&Self>) -> Result<Self, Errno> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
        let is = statx(&directory, "", flags, StatxFlags::BASIC_STATS)?;
        let device = (is.stx_dev_major, is.stx_dev_minor);
        let fsid = match near {
            Some(near) if near.device == device => near.found.identity.fsid,
            _ => fsid(&directory)?,
        };
        let known = is.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT);
        Ok(Self {
            found: Found {
                identity: Identity {
                    fsid,
                    fileid: is.stx_ino,
                },
                mode: u32::from(is.stx_mode) & 0o7777,
                uid: Some(is.stx_uid),
                gid: Some(is.stx_gid),
            },
            device,
            mounted: known.then(|| is.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        })
    }
}

fn fsid(directory: impl AsFd) -> Result<(u64, u64), Errno> {
    #[allow(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "a magic number of 32 bits"
    )]
    let kind = u64::from(fstatfs(&directory)?.f_type as u32);
    let kept = STABLE_FSID_KINDS.contains(&kind);
    let fsid = if kept { fstatvfs(directory)?.f_fsid } else { 0 };
    Ok((kind, fsid))
}

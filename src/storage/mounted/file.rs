//! The attributes and the identity of a directory (statx and statfs).
//!
//! A volume records an [`Identity`] for years. Meanwhile the share is mounted again: on another node, by another kernel,
//! with other options. So the identity must not contain numbers that are valid within one mount only (tested with Linux' NFS
//! client; for the others according to their documentation):
//! - `st_dev` of NFS, CephFS and FUSE is a number that the kernel increases with every mount.
//! - `f_fsid` is 0 on NFS and FUSE, which do not show the server's fsid. On XFS it is the number of the block device. On
//!   CephFS it depends on mount options and kernel.
//!
//! If the fsid changed, no cleanup would be possible. So the fsid here is the kind of file system, with `f_fsid` only for
//! the kinds that keep it on the disk. That is safe: if the share is not mounted, the directory there is on another kind of
//! file system, and the file number comes from the server.

use std::ffi::OsStr;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, fstatfs, fstatvfs, statx};
use rustix::io::Errno;

use crate::model::identity::Identity;
use crate::storage::verbs::protocol::ObjectSize;
use crate::storage::{ChangeTime, FileSpace, Found, Space};

/// The kinds whose `f_fsid` comes from a UUID on the disk (ext2 to ext4, Btrfs), or changes only if the files are lost
/// (tmpfs).
const STABLE_FSID_KINDS: [u64; 3] = [0xef53, 0x9123_683e, 0x0102_1994];

/// A directory's attributes.
#[derive(Clone, Copy, Debug)]
pub(in crate::storage) struct File {
    pub found: Found,
    /// The device number; valid within this mount only.
    pub device: (u32, u32),
    /// Whether it is the root of a mount; `None` on kernels before 5.8.
    pub mounted: Option<bool>,
    /// The bytes that it uses on the disk.
    used: u64,
}

impl File {
    /// Reads the attributes from the server, not from the kernel's cache: with cached attributes of a directory, Linux looks
    /// up names in its cache only. If `near` is on the same file system, one call fewer is needed.
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
                changed: Some(ChangeTime {
                    seconds: is.stx_ctime.tv_sec,
                    nanoseconds: is.stx_ctime.tv_nsec,
                }),
            },
            device,
            mounted: known.then(|| is.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
            used: bytes_of(is.stx_blocks),
        })
    }

    /// Returns its size. The file system is that of the mount.
    pub fn size(&self) -> ObjectSize {
        ObjectSize {
            fsid: (self.device.0.into(), self.device.1.into()),
            fileid: self.found.identity.fileid,
            links: 1,
            used: self.used,
            is_mounted: self.mounted == Some(true),
        }
    }
}

/// Reads the size of the object of this name in a directory, and whether it is a directory. Follows no link.
pub(super) fn size_in(directory: impl AsFd, name: &OsStr) -> Result<(bool, ObjectSize), Errno> {
    let is = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
    let size = ObjectSize {
        fsid: (is.stx_dev_major.into(), is.stx_dev_minor.into()),
        fileid: is.stx_ino,
        links: is.stx_nlink,
        used: bytes_of(is.stx_blocks),
        is_mounted: is.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
    };
    Ok((FileType::from_raw_mode(is.stx_mode.into()).is_dir(), size))
}

/// Returns the bytes of a number of blocks, as statx counts them.
fn bytes_of(blocks: u64) -> u64 {
    blocks.saturating_mul(512)
}

/// Reads the space of the file system of a directory.
pub(super) fn space(directory: impl AsFd) -> Result<Space, Errno> {
    let is = fstatvfs(directory)?;
    let bytes = |blocks: u64| blocks.saturating_mul(is.f_frsize);
    Ok(Space {
        total: bytes(is.f_blocks),
        available: bytes(is.f_bavail),
        files: FileSpace::reported(is.f_files, is.f_favail),
    })
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

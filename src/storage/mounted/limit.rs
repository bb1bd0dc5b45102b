//! The limit of the size of a directory on `CephFS`: the extended attribute `ceph.quota.max_bytes`.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use rustix::io::Errno;

use super::thread::Caller;
use crate::storage::ExistingLimit;
use crate::storage::status::Status;

/// An attribute that each directory of `CephFS` has, mounted by the kernel or by ceph-fuse. The kind of file system (statfs)
/// would tell only the first of them.
const OF_CEPHFS: &str = "ceph.dir.entries";
/// The attribute. 0, or no attribute, is no limit.
const MAX_BYTES: &str = "ceph.quota.max_bytes";

/// Raises the limit of a directory to this number of bytes.
pub(super) fn limit_size(
    caller: &Caller,
    directory: impl AsFd,
    bytes: u64,
    existing: ExistingLimit,
) -> Result<(), Status> {
    // The descriptor is only a path (`O_PATH`), which the calls for descriptors do not accept.
    let path = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    let mut value = [0; 32];
    match getxattr(&path, OF_CEPHFS, &mut value) {
        Ok(_) => {}
        Err(Errno::NODATA | Errno::NOTSUP | Errno::INVAL) => return Err(Status::NOTSUPP),
        Err(error) => return Err(error.into()),
    }
    let now = match getxattr(&path, MAX_BYTES, &mut value) {
        Ok(length) => read(&value[..length.min(value.len())]),
        Err(Errno::NODATA) => 0,
        Err(error) => return Err(error.into()),
    };
    if is_enough(now, bytes, existing) {
        return Ok(());
    }
    caller.change(|| setxattr(&path, MAX_BYTES, bytes.to_string().as_bytes(), XattrFlags::empty()))??;
    caller.not_partly_done();
    Ok(())
}

/// Returns the limit in the attribute; 0 is none.
fn read(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).unwrap_or_default();
    text.trim_end_matches('\0').parse().unwrap_or_default()
}

/// Returns whether the limit need not be changed. A limit is never made smaller.
fn is_enough(now: u64, bytes: u64, existing: ExistingLimit) -> bool {
    match (now, existing) {
        (0, ExistingLimit::RaiseOnly) => true,
        (0, ExistingLimit::SetOrRaise) => false,
        (now, _) => now >= bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_made_smaller_and_an_adopted_directory_gets_none() {
        use ExistingLimit::{RaiseOnly, SetOrRaise};
        for (now, bytes, existing, enough) in [
            (0, 10, SetOrRaise, false),
            (5, 10, SetOrRaise, false),
            (10, 10, SetOrRaise, true),
            (20, 10, SetOrRaise, true),
            (0, 10, RaiseOnly, true),
            (5, 10, RaiseOnly, false),
            (20, 10, RaiseOnly, true),
        ] {
            assert_eq!(is_enough(now, bytes, existing), enough, "{now} {bytes} {existing:?}");
        }
    }

    #[test]
    fn the_attribute_is_a_decimal_number() {
        for (value, limit) in [("10", 10), ("10\0", 10), ("0", 0), ("", 0), ("many", 0)] {
            assert_eq!(read(value.as_bytes()), limit, "{value:?}");
        }
    }
}

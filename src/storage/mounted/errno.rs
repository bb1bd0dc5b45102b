//! The numbers that file system calls answer, and what they mean for a call.

use std::io;

use rustix::io::Errno;

/// The number in an error of the standard library. Errors without one are those of `cap-std` itself, which guards the
/// way out of a directory.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::PERM)
}

/// Whether a call with this error may have been carried out by the server, or still will: the kernel gave up waiting.
pub(super) fn unanswered(errno: Errno) -> bool {
    lost(errno) || matches!(errno, Errno::IO | Errno::INTR)
}

/// The server, or the program that serves the mount, is away.
pub(super) fn lost(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::TIMEDOUT
            | Errno::NOTCONN
            | Errno::SHUTDOWN
            | Errno::CONNABORTED
            | Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    )
}

/// As people look it up.
pub(super) fn name(errno: Errno) -> String {
    let known = match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::IO => "EIO",
        Errno::ACCESS => "EACCES",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::XDEV => "EXDEV",
        Errno::NOTDIR => "ENOTDIR",
        Errno::INVAL => "EINVAL",
        Errno::NFILE => "ENFILE",
        Errno::MFILE => "EMFILE",
        Errno::NOSPC => "ENOSPC",
        Errno::ROFS => "EROFS",
        Errno::NAMETOOLONG => "ENAMETOOLONG",
        Errno::NOTEMPTY => "ENOTEMPTY",
        Errno::LOOP => "ELOOP",
        Errno::NOTCONN => "ENOTCONN",
        Errno::SHUTDOWN => "ESHUTDOWN",
        Errno::TIMEDOUT => "ETIMEDOUT",
        Errno::STALE => "ESTALE",
        Errno::DQUOT => "EDQUOT",
        Errno::NOKEY => "ENOKEY",
        Errno::KEYEXPIRED => "EKEYEXPIRED",
        other => return format!("error {}: {other}", other.raw_os_error()),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_the_kernel_gave_up_on_may_have_been_carried_out() {
        assert!(unanswered(Errno::TIMEDOUT) && unanswered(Errno::IO));
        assert!(!unanswered(Errno::NOSPC) && !unanswered(Errno::ACCESS));
    }
}

//! The error numbers of file system calls, and what they mean for a call.

use std::io;

use rustix::io::Errno;

use crate::storage::transient::lost;

/// Returns the number of an error of the standard library. Errors without one are those of `cap-std` itself, which refuses
/// paths that lead out of a directory.
pub(super) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::PERM)
}

/// Whether the server may have carried out a call with this error, or still will: the kernel has stopped waiting.
pub(super) fn unanswered(errno: Errno) -> bool {
    lost(errno) || matches!(errno, Errno::IO | Errno::INTR)
}

/// Returns its name.
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
        Errno::HOSTDOWN => "EHOSTDOWN",
        Errno::HOSTUNREACH => "EHOSTUNREACH",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::CONNREFUSED => "ECONNREFUSED",
        Errno::CONNRESET => "ECONNRESET",
        Errno::CONNABORTED => "ECONNABORTED",
        Errno::INTR => "EINTR",
        Errno::AGAIN => "EAGAIN",
        Errno::NOMEM => "ENOMEM",
        Errno::REMOTEIO => "EREMOTEIO",
        Errno::STALE => "ESTALE",
        Errno::DQUOT => "EDQUOT",
        Errno::NOKEY => "ENOKEY",
        Errno::KEYEXPIRED => "EKEYEXPIRED",
        other => return format!("error number {}", other.raw_os_error()),
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

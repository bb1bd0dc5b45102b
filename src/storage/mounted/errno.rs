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
    macro_rules! names {
        ($($name:ident)*) => {
            match errno {
                Errno::ACCESS => "EACCES".to_owned(),
                $(Errno::$name => concat!("E", stringify!($name)).to_owned(),)*
                other => format!("error number {}", other.raw_os_error()),
            }
        };
    }
    names! {
        PERM NOENT IO BUSY EXIST XDEV NOTDIR INVAL NFILE MFILE NOSPC ROFS NAMETOOLONG NOTEMPTY LOOP NOTCONN SHUTDOWN TIMEDOUT
        HOSTDOWN HOSTUNREACH NETUNREACH CONNREFUSED CONNRESET CONNABORTED INTR AGAIN NOMEM REMOTEIO STALE DQUOT NOKEY KEYEXPIRED
    }
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

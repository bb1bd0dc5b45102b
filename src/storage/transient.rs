//! Transient failures: NFS statuses (RFC 8881, 15.1; RFC 1813, 2.6) and errors of file system calls that may disappear
//! without a change by an administrator. All others are lasting.
//!
//! After a transient failure a claim waits, and Bindery tries again. After a lasting one it is refused, so that its user
//! reads the reason.

use rustix::io::Errno;

use super::status::Status;

/// Returns whether an NFS operation with this status may succeed later.
pub(super) fn status(status: Status) -> bool {
    status.asks_to_retry()
        || status.stale_handle()
        || status.lost_session()
        || matches!(
            status,
            // The server has an internal error: a disk, a cluster file system without its server, no memory.
            Status::IO
                | Status::NXIO
                | Status::SERVERFAULT
                | Status::RESOURCE
                // The session or its client is not in the state that the server expects: a new session helps.
                | Status::BADSLOT
                | Status::BAD_HIGH_SLOT
                | Status::SEQ_MISORDERED
                | Status::SEQ_FALSE_RETRY
                | Status::RETRY_UNCACHED_REP
                | Status::CONN_NOT_BOUND_TO_SESSION
                | Status::CLIENTID_BUSY
                | Status::CLID_INUSE
                // The directory has changed while it was read.
                | Status::BAD_COOKIE
                | Status::NOT_SAME
        )
}

/// Returns whether a file system call with this error may succeed later.
pub(super) fn errno(errno: Errno) -> bool {
    is_unreachable(errno)
        || matches!(
            errno,
            // A disk or a server of the file system has an error.
            Errno::IO
                | Errno::REMOTEIO
                | Errno::NXIO
                // The server does not know the file any more, or does not have its disk at the moment.
                | Errno::STALE
                // It is in use, or too much is in use.
                | Errno::BUSY
                | Errno::AGAIN
                | Errno::INTR
                | Errno::NOMEM
                | Errno::NOBUFS
                | Errno::NOLCK
                | Errno::MFILE
                | Errno::NFILE
        )
}

/// Returns whether the server or the program behind a mount does not answer.
pub(super) fn is_unreachable(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::TIMEDOUT
            | Errno::TIME
            | Errno::NOTCONN
            | Errno::SHUTDOWN
            | Errno::CONNABORTED
            | Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::PIPE
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NETDOWN
            | Errno::NETRESET
            | Errno::NETUNREACH
    )
}

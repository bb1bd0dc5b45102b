//! Which failures pass without a change by a person: one table for what NFS servers answer (RFC 8881, 15.1; RFC 1813, 2.6),
//! for what RPC refuses (RFC 5531, 9) and for what file system calls return.
//!
//! A claim that meets such a failure waits and is tried again; every other one is refused, so that its user reads why.
//! Whatever is not in the table does not pass.

use rustix::io::Errno;

use super::status::Status;

/// Whether an NFS operation that got this status may go well later.
pub(super) fn status(status: Status) -> bool {
    status.later()
        || status.stale()
        || status.gone()
        || matches!(
            status,
            // The server met an error of its own: a disk, a cluster file system that lost its own server, no memory.
            Status::IO
                | Status::NXIO
                | Status::SERVERFAULT
                | Status::RESOURCE
                // The session or its client is not in the state that the server expects: a new session mends that.
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

/// Whether a file system call that returned this may go well later.
pub(super) fn errno(errno: Errno) -> bool {
    lost(errno)
        || matches!(
            errno,
            // A disk or a server of the file system met an error.
            Errno::IO
                | Errno::REMOTEIO
                | Errno::NXIO
                // The server forgot the file, or does not show its disk at the moment.
                | Errno::STALE
                // In use, or too much is.
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

/// Whether the server, or the program that serves a mount, is away.
pub(super) fn lost(errno: Errno) -> bool {
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

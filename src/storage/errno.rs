//! The error numbers of file system calls: their statuses, their names, and their meaning for a call.

use std::io;

use rustix::io::Errno;

use super::status::Status;
use super::transient::is_unreachable;

impl From<Errno> for Status {
    fn from(errno: Errno) -> Self {
        Self(swap_number(errno.raw_os_error().unsigned_abs()))
    }
}

impl From<io::Error> for Status {
    /// Errors without a number come from `cap-std`, which refuses paths that lead out of a directory.
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).unwrap_or(Errno::PERM).into()
    }
}

impl Status {
    /// Returns the error number from which this status was converted.
    pub fn errno(self) -> Errno {
        Errno::from_raw_os_error(swap_number(self.0).cast_signed())
    }
}

/// Converts between error numbers and statuses, both ways. They are equal, except for two that the verbs use. Those are
/// swapped with errors that no file system has.
fn swap_number(number: u32) -> u32 {
    for (errno, Status(status)) in [(Errno::NOTEMPTY, Status::NOTEMPTY), (Errno::STALE, Status::STALE)] {
        let errno = errno.raw_os_error().unsigned_abs();
        match number {
            number if number == errno => return status,
            number if number == status => return errno,
            _ => {}
        }
    }
    number
}

/// Returns whether the server may carry out a call with this error, now or later: the kernel has stopped waiting.
pub(super) fn maybe_carried_out(errno: Errno) -> bool {
    is_unreachable(errno) || matches!(errno, Errno::IO | Errno::INTR)
}

/// Returns the name of an error number.
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
        PERM NOENT IO BUSY EXIST XDEV NOTDIR INVAL NFILE MFILE NOSPC ROFS NAMETOOLONG NOTEMPTY LOOP NOTCONN SHUTDOWN
        TIMEDOUT HOSTDOWN HOSTUNREACH NETUNREACH CONNREFUSED CONNRESET CONNABORTED INTR AGAIN NOMEM REMOTEIO STALE DQUOT
        NOKEY KEYEXPIRED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_is_a_status_and_comes_back() {
        for number in 1..=133 {
            let errno = Errno::from_raw_os_error(number);
            assert_eq!(Status::from(errno).errno(), errno);
        }
        for (errno, status) in [
            (Errno::PERM, Status::PERM),
            (Errno::NOENT, Status::NOENT),
            (Errno::ACCESS, Status::ACCESS),
            (Errno::EXIST, Status::EXIST),
            (Errno::NOTDIR, Status::NOTDIR),
            (Errno::ISDIR, Status::ISDIR),
            (Errno::INVAL, Status::INVAL),
            (Errno::NOTEMPTY, Status::NOTEMPTY),
            (Errno::STALE, Status::STALE),
        ] {
            assert_eq!(Status::from(errno), status);
        }
    }

    #[test]
    fn a_call_without_an_answer_may_have_been_carried_out() {
        assert!(maybe_carried_out(Errno::TIMEDOUT) && maybe_carried_out(Errno::IO));
        assert!(!maybe_carried_out(Errno::NOSPC) && !maybe_carried_out(Errno::ACCESS));
    }
}

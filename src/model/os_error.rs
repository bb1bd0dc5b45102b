//! Errors of the operating system in words.

use std::io::{Error, ErrorKind};

/// Describes an error for a message, such as "connection refused". An error without a description gets its number.
pub fn words(error: &Error) -> String {
    let words = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => "the other end closed the connection",
        ErrorKind::TimedOut => "no answer in time",
        ErrorKind::HostUnreachable => "no route to the host",
        ErrorKind::NetworkUnreachable => "no route to the network",
        ErrorKind::NetworkDown => "the network is down",
        ErrorKind::AddrInUse => "another program uses the address",
        ErrorKind::AddrNotAvailable => "this host does not have the address",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::NotFound => "it does not exist",
        ErrorKind::NotADirectory => "a part of the path is not a directory",
        ErrorKind::IsADirectory => "it is a directory",
        ErrorKind::InvalidData => "it is not text in UTF-8",
        ErrorKind::OutOfMemory => "out of memory",
        ErrorKind::WouldBlock => "a limit of the system is reached",
        _ => {
            return match error.raw_os_error() {
                Some(number) => format!("error {number} of the operating system"),
                None => "an error of the operating system".to_owned(),
            };
        }
    };
    words.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_described_in_words_or_by_its_number() {
        let of = |number| words(&Error::from_raw_os_error(number));
        assert_eq!(of(111), "connection refused");
        assert_eq!(of(13), "permission denied");
        assert_eq!(of(98), "another program uses the address");
        assert_eq!(of(5), "error 5 of the operating system");
        assert_eq!(words(&Error::other("library text")), "an error of the operating system");
    }
}

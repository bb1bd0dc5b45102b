//! RPC records over TCP (RFC 5531, 11), and the state of the connection that carries them.

use std::io::{Error, ErrorKind};

use tokio::net::TcpStream;

/// The largest reply that is accepted. The pages that are asked for are far smaller.
const LARGEST_REPLY: usize = 128 * 1024;
/// The most fragments of a reply. A working server sends one.
const MAX_FRAGMENTS: usize = 64;
/// The bit of a fragment's header that marks the last fragment of a record.
pub(super) const LAST_FRAGMENT: u32 = 1 << 31;
/// The bytes by which memory grows while a reply arrives.
const PIECE: usize = 16 * 1024;

/// Why there is no record.
#[derive(Debug)]
pub(super) enum NoRecord {
    /// The connection broke.
    Broken(Error),
    /// The server did not send a valid reply.
    Malformed(&'static str),
}

/// Appends the next record to `reply`, without the headers of its fragments.
pub(super) async fn read_record(stream: &TcpStream, reply: &mut Vec<u8>) -> Result<(), NoRecord> {
    let mut room = LARGEST_REPLY;
    for _ in 0..MAX_FRAGMENTS {
        let mut header = [0; 4];
        read_exact(stream, &mut header).await?;
        let header = u32::from_be_bytes(header);
        let mut left = (header & !LAST_FRAGMENT) as usize;
        room = room
            .checked_sub(left)
            .ok_or(NoRecord::Malformed("the reply is larger than was asked for"))?;
        // Grows as bytes arrive, not as the header claims.
        while left > 0 {
            let mut piece = vec![0; left.min(PIECE)];
            read_exact(stream, &mut piece).await?;
            left -= piece.len();
            reply.extend(piece);
        }
        if header & LAST_FRAGMENT != 0 {
            return Ok(());
        }
    }
    Err(NoRecord::Malformed("the reply comes in too many fragments"))
}

async fn read_exact(stream: &TcpStream, mut buffer: &mut [u8]) -> Result<(), NoRecord> {
    while !buffer.is_empty() {
        stream.readable().await.map_err(NoRecord::Broken)?;
        match stream.try_read(buffer) {
            Ok(0) => return Err(NoRecord::Broken(ErrorKind::UnexpectedEof.into())),
            Ok(length) => buffer = &mut buffer[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(NoRecord::Broken(error)),
        }
    }
    Ok(())
}

/// Returns whether the server has closed the connection, or sent bytes that are no answer to a call.
pub(super) fn closed(stream: &TcpStream) -> bool {
    let read = stream.try_read(&mut [0]);
    !read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Makes the kernel discard unsent bytes when the connection is dropped.
pub(super) fn cut(stream: &TcpStream) {
    if let Err(error) = stream.set_zero_linger() {
        tracing::debug!(%error, "the linger time of a connection cannot be set to zero");
    }
}

//! What `nfs3_client` reads from and writes to: RPC records over TCP (RFC 5531, 11).
//!
//! Its own adapter takes the end of a connection for nothing to read yet, and asks for ever; it believes any length that a
//! server claims, and refuses a reply of several fragments. This one reads a whole record first, as long as it is sane, and
//! hands it on as one fragment.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A reply is never larger: well above the pages that are asked for (`calls::LARGEST_PAGE`).
const LARGEST_REPLY: usize = 128 * 1024;
/// A sane server sends a reply of that size in one fragment.
const MOST_FRAGMENTS: usize = 64;
const LAST_FRAGMENT: u32 = 1 << 31;
/// What memory grows by while a reply arrives.
const PIECE: usize = 16 * 1024;

/// One connection. After an error, or when a call is dropped, it is of no more use.
#[derive(Debug)]
pub(super) struct Records {
    /// Shared with whoever wants to know whether it is closed, or to cut it.
    stream: Arc<TcpStream>,
    /// The record that was read, as one fragment with its header.
    record: Vec<u8>,
    /// So much of it was handed on.
    handed: usize,
}

impl Records {
    pub fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            record: Vec::new(),
            handed: 0,
        }
    }

    async fn read_record(&mut self) -> Result<()> {
        self.record.clear();
        self.record.extend([0; 4]);
        self.handed = 0;
        for _ in 0..MOST_FRAGMENTS {
            let mut header = [0; 4];
            self.read_exact(&mut header).await?;
            let header = u32::from_be_bytes(header);
            let mut left = (header & !LAST_FRAGMENT) as usize;
            if self.record.len() + left > LARGEST_REPLY {
                return Err(insane("the reply is larger than was asked for"));
            }
            // Grows as bytes arrive, not as the header claims.
            while left > 0 {
                let mut piece = vec![0; left.min(PIECE)];
                self.read_exact(&mut piece).await?;
                left -= piece.len();
                self.record.extend(piece);
            }
            if header & LAST_FRAGMENT != 0 {
                // Fits: the largest reply is far smaller.
                let length = u32::try_from(self.record.len() - 4).unwrap_or_default();
                self.record[..4].copy_from_slice(&(length | LAST_FRAGMENT).to_be_bytes());
                return Ok(());
            }
        }
        Err(insane("the reply comes in too many fragments"))
    }

    async fn read_exact(&self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            self.stream.readable().await?;
            match self.stream.try_read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => buffer = &mut buffer[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl AsyncRead for Records {
    async fn async_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.handed == self.record.len() {
            self.read_record().await?;
        }
        let rest = &self.record[self.handed..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.handed += length;
        Ok(length)
    }
}

impl AsyncWrite for Records {
    async fn async_write(&mut self, buffer: &[u8]) -> Result<usize> {
        loop {
            self.stream.writable().await?;
            match self.stream.try_write(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                written => return written,
            }
        }
    }
}

/// Told from a connection that broke: what answers there does not speak the protocol.
fn insane(what: &'static str) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// Whether the server has hung up, or said something that nobody asked for.
pub(super) fn closed(stream: &TcpStream) -> bool {
    let waiting = stream.try_read(&mut [0]);
    !waiting.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

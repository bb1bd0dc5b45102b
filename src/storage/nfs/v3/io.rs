//! The transport of `nfs3_client`: RPC records over TCP (RFC 5531, 11).
//!
//! The crate's own adapter does not detect the end of a connection and reads for ever. It accepts any length that a server
//! claims, and refuses a reply of several fragments. This one first reads a whole record of a limited length, and then
//! returns it as one fragment.

use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::storage::nfs::record::{self, LAST_FRAGMENT, NoRecord};

/// One connection. After an error, or when a call is dropped, it cannot be used any more.
#[derive(Debug)]
pub(super) struct Records {
    /// Shared with the owner of the connection, who checks whether it is closed, or cuts it.
    stream: Arc<TcpStream>,
    /// The record that was read, as one fragment with its header.
    record: Vec<u8>,
    /// How much of it was passed on.
    passed_on: usize,
}

impl Records {
    pub fn new(stream: Arc<TcpStream>) -> Self {
        Self {
            stream,
            record: Vec::new(),
            passed_on: 0,
        }
    }

    async fn read_record(&mut self) -> Result<()> {
        self.record.clear();
        self.record.extend([0; 4]);
        self.passed_on = 0;
        match record::read_record(&self.stream, &mut self.record).await {
            Ok(()) => {}
            Err(NoRecord::Broken(error)) => return Err(error),
            // The connection works, but the server does not follow the protocol.
            Err(NoRecord::Malformed(what)) => return Err(Error::new(ErrorKind::InvalidData, what)),
        }
        // The conversion cannot fail: the largest reply is far smaller.
        let length = u32::try_from(self.record.len() - 4).unwrap_or_default();
        self.record[..4].copy_from_slice(&(length | LAST_FRAGMENT).to_be_bytes());
        Ok(())
    }
}

impl AsyncRead for Records {
    async fn async_read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.passed_on == self.record.len() {
            self.read_record().await?;
        }
        let rest = &self.record[self.passed_on..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.passed_on += length;
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

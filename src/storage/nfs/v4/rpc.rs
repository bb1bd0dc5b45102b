//! ONC RPC over TCP (RFC 5531): record marking, AUTH_SYS, one call at a time on a connection.
//!
//! Not used: RPCSEC_GSS (`mounted` storage is for Kerberos), and several calls in progress on one connection (a connection
//! is cheap, and if it must be dropped, that affects one call only).

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::compound::INCOMPLETE;
use super::xdr::{Malformed, Reader, Writer};
use crate::storage::nfs::options::NfsOptions;
use crate::storage::nfs::record::{LAST_FRAGMENT, NoRecord, read_record};

const PROGRAM: u32 = 100_003;
const VERSION: u32 = 4;
const COMPOUND: u32 = 1;
const CALL: u32 = 0;
const REPLY: u32 = 1;
const AUTH_NONE: u32 = 0;
const AUTH_SYS: u32 = 1;
/// The longest credentials that RPC has (RFC 5531, 8.2).
const LONGEST_AUTH: usize = 400;
/// The longest machine name in AUTH_SYS.
const LONGEST_MACHINE: usize = 255;

/// Why a call has no NFS result.
#[derive(Debug)]
pub(super) enum RpcError {
    /// The connection broke; whether the call reached the server is not known.
    Broken(io::Error),
    /// The answer is no valid reply to this call.
    Malformed(Malformed),
    /// The server did not carry the call out, for this reason.
    Refused(Refusal),
}

/// Why a server did not carry a call out (RFC 5531, 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Refusal {
    /// It does not support NFS, or not version 4.
    Version,
    /// It does not accept AUTH_SYS from this host.
    Credentials,
    /// It could not read the arguments.
    Arguments,
    /// It has an internal error.
    System,
}

impl RpcError {
    /// Whether the call got no answer, so that it may have been carried out, and the next try may succeed.
    pub fn is_no_answer(&self) -> bool {
        match self {
            Self::Broken(_) => true,
            Self::Malformed(malformed) => *malformed == INCOMPLETE,
            Self::Refused(_) => false,
        }
    }
}

impl From<io::Error> for RpcError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<NoRecord> for RpcError {
    fn from(error: NoRecord) -> Self {
        match error {
            NoRecord::Broken(error) => Self::Broken(error),
            NoRecord::Malformed(what) => Self::Malformed(Malformed(what)),
        }
    }
}

impl From<Malformed> for RpcError {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Sends one COMPOUND and waits for its reply; the result begins with the status of the COMPOUND.
///
/// After any error, or when the future is dropped, the connection cannot be used any more: the caller drops it.
pub(super) async fn call(
    stream: &mut TcpStream,
    xid: u32,
    options: &NfsOptions,
    arguments: &[u8],
) -> Result<Vec<u8>, RpcError> {
    stream.write_all(&record(xid, options, arguments)).await?;
    let mut reply = Vec::new();
    read_record(stream, &mut reply).await?;
    let results = results_of(&reply, xid)?;
    let header = reply.len() - results;
    reply.drain(..header);
    Ok(reply)
}

fn record(xid: u32, options: &NfsOptions, arguments: &[u8]) -> Vec<u8> {
    let mut writer = Writer::default();
    for word in [xid, CALL, 2, PROGRAM, VERSION, COMPOUND] {
        writer.u32(word);
    }
    writer.u32(AUTH_SYS);
    writer.opaque(&auth_sys(options));
    // The verifier of AUTH_SYS is empty.
    writer.u32(AUTH_NONE);
    writer.opaque(&[]);
    writer.fixed(arguments);
    let body = writer.into_bytes();
    // A call is a few KiB: it always fits one fragment, whose length has 31 bits.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX >> 1);
    let mut record = (length | LAST_FRAGMENT).to_be_bytes().to_vec();
    record.extend(body);
    record
}

fn auth_sys(options: &NfsOptions) -> Vec<u8> {
    let machine = options.machine.as_bytes();
    let mut writer = Writer::default();
    writer.u32(0); // stamp: anything
    writer.opaque(&machine[..machine.len().min(LONGEST_MACHINE)]);
    writer.u32(options.uid);
    writer.u32(options.gid);
    writer.u32(0); // no further groups
    writer.into_bytes()
}

/// Checks the header of a reply, and returns how many bytes of results follow it.
pub(super) fn results_of(reply: &[u8], xid: u32) -> Result<usize, RpcError> {
    let mut reader = Reader::new(reply);
    if reader.u32()? != xid || reader.u32()? != REPLY {
        return Err(Malformed("the reply is not that of the call").into());
    }
    match reader.u32()? {
        0 => {}
        1 => {
            return Err(RpcError::Refused(match reader.u32()? {
                0 => Refusal::Version,
                _ => Refusal::Credentials,
            }));
        }
        _ => return Err(Malformed("the reply is neither accepted nor denied").into()),
    }
    reader.u32()?; // flavour of the verifier
    reader.opaque(LONGEST_AUTH)?;
    match reader.u32()? {
        0 => Ok(reader.len()),
        1..=3 => Err(RpcError::Refused(Refusal::Version)),
        5 => Err(RpcError::Refused(Refusal::System)),
        _ => Err(RpcError::Refused(Refusal::Arguments)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_arbitrary_header_is_read_or_refused(bytes in any::<Vec<u8>>(), xid in any::<u32>()) {
            let _ = results_of(&bytes, xid);
        }

        #[test]
        fn an_arbitrary_reply_to_our_call_is_read_or_refused(bytes in any::<Vec<u8>>(), xid in any::<u32>()) {
            let mut reply = xid.to_be_bytes().to_vec();
            reply.extend(REPLY.to_be_bytes());
            reply.extend(bytes);
            if let Ok(rest) = results_of(&reply, xid) {
                prop_assert!(rest <= reply.len());
            }
        }
    }
}

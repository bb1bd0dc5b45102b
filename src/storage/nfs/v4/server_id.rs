//! Identifies the server that answers, independent of the name by which it was reached (RFC 8881, 2.10.4 and 18.35.4).
//!
//! EXCHANGE_ID's reply names the server's owner (its major id) and its scope. For two names of one server they are
//! equal. The reverse is only a hint: servers with the same host name, or copies of one system, may send the same.

use std::fmt;

use uuid::Uuid;

use super::xdr::{Malformed, Reader};

/// The longest owner or scope (NFS4_OPAQUE_LIMIT).
const LONGEST_OPAQUE: usize = 1024;
/// SP4_NONE: no state protection is in force.
const NO_PROTECTION: u32 = 0;

/// A hash of a server's owner and scope; shown in lower-case hexadecimal. It stays the same across releases of Bindery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServerId(pub Uuid);

impl ServerId {
    fn new(owner: &[u8], scope: &[u8]) -> Self {
        // The length of the owner is included, so that no other pair has the same bytes.
        let length = u32::try_from(owner.len()).unwrap_or(u32::MAX).to_be_bytes();
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, &[&length, owner, scope].concat()))
    }

    /// Reads what follows the flags in the reply to EXCHANGE_ID.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        if reader.u32()? != NO_PROTECTION {
            return Err(Malformed(
                "the server protects its state in a way that was not asked for",
            ));
        }
        reader.u64()?; // the minor id: it differs where connections cannot share a session
        let owner = reader.opaque(LONGEST_OPAQUE)?;
        let scope = reader.opaque(LONGEST_OPAQUE)?;
        Ok(Self::new(owner, scope))
    }
}

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0.simple())
    }
}

#[cfg(test)]
mod tests {
    use super::super::xdr::Writer;
    use super::*;

    fn reply(minor: u64, owner: &[u8], scope: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u32(NO_PROTECTION);
        writer.u64(minor);
        writer.opaque(owner);
        writer.opaque(scope);
        writer.into_bytes()
    }

    #[test]
    fn owner_and_scope_alone_make_the_id() {
        let read = |reply: &[u8]| ServerId::read(&mut Reader::new(reply)).unwrap();
        let id = read(&reply(1, b"nas", b"scope"));
        assert_eq!(id, read(&reply(2, b"nas", b"scope")));
        for (owner, scope) in [("nas", "scop"), ("nass", "cope"), ("na", "sscope"), ("", "nasscope")] {
            assert_ne!(id, read(&reply(1, owner.as_bytes(), scope.as_bytes())));
        }
    }

    #[test]
    fn an_id_stays_the_same_in_every_release() {
        assert_eq!(
            ServerId::new(b"nas", b"scope").to_string(),
            "da88df7db0d25bab9613f1d906098594"
        );
    }
}

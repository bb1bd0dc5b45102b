//! The limits of a COMPOUND: what the client asks for, and what the server grants (CREATE_SESSION: RFC 8881, 18.36).

use super::xdr::Malformed;

/// What the client asks for; a server may grant less.
pub(super) const LARGEST_CALL: u32 = 32 * 1024;
pub(super) const LARGEST_REPLY: u32 = 64 * 1024;
pub(super) const MAX_OPERATIONS: u32 = 64;
/// The fewest operations, and the smallest messages, that the verbs need.
const FEWEST_OPERATIONS: u32 = 8;
const SMALLEST_MESSAGE: u32 = 4096;
/// Bytes of a call without the names in it: credentials, SEQUENCE, file handles.
const OVERHEAD: usize = 1024;

/// The limits of one COMPOUND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Operations, SEQUENCE included.
    pub operations: usize,
    /// Bytes of a call.
    pub call: u32,
    /// Bytes of a reply.
    pub reply: u32,
}

impl Limits {
    /// The least that a session may have.
    pub const LEAST: Self = Self {
        operations: FEWEST_OPERATIONS as usize,
        call: SMALLEST_MESSAGE,
        reply: SMALLEST_MESSAGE,
    };

    /// Returns the limits of a session, from the values that the server has granted.
    pub fn granted(operations: u32, call: u32, reply: u32) -> Result<Self, Malformed> {
        if operations < FEWEST_OPERATIONS || call.min(reply) < SMALLEST_MESSAGE {
            return Err(Malformed(
                "the server allows fewer operations, or smaller messages, than Bindery needs",
            ));
        }
        Ok(Self {
            operations: operations.min(MAX_OPERATIONS) as usize,
            call: call.min(LARGEST_CALL),
            reply: reply.min(LARGEST_REPLY),
        })
    }

    /// Returns how many of the names fit into a COMPOUND with `others` other operations: at least one. Each name needs one
    /// operation.
    pub fn fit<'a>(&self, others: usize, names: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut room = (self.call as usize).saturating_sub(OVERHEAD);
        names
            .take(self.operations.saturating_sub(others))
            .take_while(|name| {
                // The operation's number, the name's length, the name.
                let size = 8 + name.len().next_multiple_of(4);
                let fits = size <= room;
                room = room.saturating_sub(size);
                fits
            })
            .count()
            .max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_holds_as_many_names_as_its_operations_and_its_bytes_allow() {
        let names = vec![vec![b'x'; 255]; 100];
        let fit = |limits: Limits| limits.fit(2, names.iter().map(Vec::as_slice));
        assert_eq!(fit(Limits::LEAST), 6);
        let many = Limits {
            operations: 64,
            ..Limits::LEAST
        };
        assert_eq!(fit(many), 11); // of 264 bytes in 3072
        let large = Limits {
            call: LARGEST_CALL,
            ..many
        };
        assert_eq!(fit(large), 62);
    }
}

//! XDR (RFC 4506), the encoding of NFS messages: the part that this client needs (unsigned integers, booleans,
//! opaques). The callers write and read unions and structures field by field.
//!
//! The reader borrows from the reply that it reads and never allocates, so a wrong length in a reply needs no memory.

/// A reply that does not follow the protocol. The text says where, for the error message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// Builds the arguments of a call.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes bytes whose length both sides know.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        let padding = bytes.len().next_multiple_of(4) - bytes.len();
        self.0.extend_from_slice(&[0; 3][..padding]);
    }

    /// Writes the length and the bytes of an `opaque<>` or a `string<>`.
    pub fn opaque(&mut self, bytes: &[u8]) {
        // The client sends far less than 4 GiB: names are at most 255 bytes, file handles 128.
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.fixed(bytes);
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a reply from front to back.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }

    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a boolean is neither 0 nor 1")),
        }
    }

    /// Reads exactly `N` bytes, `N` a multiple of four.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self
            .0
            .split_first_chunk()
            .ok_or(Malformed("the reply ends too early"))?;
        self.0 = rest;
        Ok(*value)
    }

    /// Reads an `opaque<longest>` or a `string<longest>`.
    pub fn opaque(&mut self, longest: usize) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.u32()?).map_err(|_| Malformed("a length is out of range"))?;
        if length > longest {
            return Err(Malformed("a field is longer than the protocol allows"));
        }
        let padded = length.next_multiple_of(4);
        let (field, rest) = self
            .0
            .split_at_checked(padded)
            .ok_or(Malformed("the reply ends too early"))?;
        self.0 = rest;
        Ok(&field[..length])
    }

    /// Returns how many bytes are left.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number in any::<u64>(), small in any::<u32>(), bytes in any::<Vec<u8>>()) {
            let mut writer = Writer::default();
            writer.u64(number);
            writer.opaque(&bytes);
            writer.u32(small);
            let sent = writer.into_bytes();
            let mut reader = Reader::new(&sent);
            prop_assert_eq!(reader.u64(), Ok(number));
            prop_assert_eq!(reader.opaque(usize::MAX), Ok(&bytes[..]));
            prop_assert_eq!(reader.u32(), Ok(small));
            prop_assert_eq!(reader.len(), 0);
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let mut reader = Reader::new(&bytes);
            while reader.opaque(64).is_ok() {}
            let _ = (reader.boolean(), reader.fixed::<16>(), reader.u64());
        }
    }

    #[test]
    fn a_length_beyond_the_reply_is_refused() {
        assert_eq!(
            Reader::new(&[0xff; 8]).opaque(usize::MAX),
            Err(Malformed("the reply ends too early"))
        );
        assert_eq!(
            Reader::new(&[0xff; 8]).opaque(128),
            Err(Malformed("a field is longer than the protocol allows"))
        );
    }
}

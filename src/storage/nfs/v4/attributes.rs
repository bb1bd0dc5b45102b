//! File attributes (RFC 8881, 5): the few that Bindery asks for and sets.
//!
//! Owners are sent as numbers (5.9: what AUTH_SYS servers accept); an owner that comes back as a name is unknown.

use std::time::Duration;

use super::xdr::{Malformed, Reader, Writer};
use crate::model::identity::Identity;
use crate::storage::Found;
use crate::storage::status::Status;

const TYPE: u32 = 1;
const FSID: u32 = 8;
const LEASE_TIME: u32 = 10;
const RDATTR_ERROR: u32 = 11;
const FILEID: u32 = 20;
const MODE: u32 = 33;
const OWNER: u32 = 36;
const OWNER_GROUP: u32 = 37;

/// What GETATTR asks for.
pub(super) const OF_A_FILE: &[u32] = &[TYPE, FSID, FILEID, MODE, OWNER, OWNER_GROUP];
/// What GETATTR asks for once, of any file.
pub(super) const OF_THE_SERVER: &[u32] = &[LEASE_TIME];
/// What READDIR asks for. With RDATTR_ERROR, one unreadable entry does not make the page fail.
pub(super) const OF_AN_ENTRY: &[u32] = &[TYPE, RDATTR_ERROR];

/// The longest bitmap that is read: the protocol has three words so far.
const MOST_WORDS: u32 = 8;
const LONGEST_ATTRIBUTES: usize = 16 * 1024;
const LONGEST_OWNER: usize = 1024;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Link,
    /// A plain file, a device, a socket, a pipe.
    File,
}

/// The attributes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub kind: Kind,
    pub identity: Identity,
    pub mode: u32,
    pub uid: Owner,
    pub gid: Owner,
}

impl File {
    pub fn found(&self) -> Found {
        let number = |owner| match owner {
            Owner::Number(number) => Some(number),
            Owner::Unknown => None,
        };
        Found {
            identity: self.identity,
            mode: self.mode,
            uid: number(self.uid),
            gid: number(self.gid),
        }
    }
}

/// The owner of a file, user or group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Owner {
    Number(u32),
    /// The server sent a name, or nothing: it cannot be compared.
    #[default]
    Unknown,
}

/// What SETATTR and CREATE set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Change {
    pub fn mode(mode: u32) -> Self {
        Self {
            mode: Some(mode),
            ..Self::default()
        }
    }

    pub fn write(self, writer: &mut Writer) {
        let set = |attribute, value: Option<u32>| value.map(|_| attribute);
        let attributes = [set(MODE, self.mode), set(OWNER, self.uid), set(OWNER_GROUP, self.gid)];
        let attributes: Vec<u32> = attributes.into_iter().flatten().collect();
        write_bitmap(writer, &attributes);
        let mut values = Writer::default();
        if let Some(mode) = self.mode {
            values.u32(mode);
        }
        for owner in [self.uid, self.gid].into_iter().flatten() {
            values.opaque(owner.to_string().as_bytes());
        }
        writer.opaque(&values.into_bytes());
    }
}

/// Writes an identity as VERIFY compares it.
pub(super) fn write_identity(writer: &mut Writer, identity: Identity) {
    write_bitmap(writer, &[FSID, FILEID]);
    let mut values = Writer::default();
    values.u64(identity.fsid.0);
    values.u64(identity.fsid.1);
    values.u64(identity.fileid);
    writer.opaque(&values.into_bytes());
}

pub(super) fn write_bitmap(writer: &mut Writer, attributes: &[u32]) {
    let mut words = [0_u32; 2];
    for attribute in attributes {
        words[(attribute / 32) as usize] |= 1 << (attribute % 32);
    }
    let used = if words[1] == 0 { 1 } else { 2 };
    writer.u32(used);
    for word in words.into_iter().take(used as usize) {
        writer.u32(word);
    }
}

/// The attributes that the server sent.
#[derive(Default)]
pub(super) struct Values {
    kind: Option<Kind>,
    fsid: Option<(u64, u64)>,
    fileid: Option<u64>,
    mode: Option<u32>,
    uid: Owner,
    gid: Owner,
    lease: Option<Duration>,
}

impl Values {
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let attributes = read_bitmap(reader)?;
        let mut values = Reader::new(reader.opaque(LONGEST_ATTRIBUTES)?);
        let mut read = Self::default();
        for attribute in attributes {
            match attribute {
                TYPE => read.kind = Some(kind(values.u32()?)),
                FSID => read.fsid = Some((values.u64()?, values.u64()?)),
                LEASE_TIME => read.lease = Some(Duration::from_secs(values.u32()?.into())),
                // An entry whose attributes could not be read has no others; a look-up says why.
                RDATTR_ERROR => _ = Status(values.u32()?),
                FILEID => read.fileid = Some(values.u64()?),
                MODE => read.mode = Some(values.u32()? & 0o7777),
                OWNER => read.uid = owner(values.opaque(LONGEST_OWNER)?),
                OWNER_GROUP => read.gid = owner(values.opaque(LONGEST_OWNER)?),
                _ => return Err(Malformed("an attribute came that was not asked for")),
            }
        }
        Ok(read)
    }

    pub fn kind(&self) -> Option<Kind> {
        self.kind
    }

    pub fn lease(&self) -> Option<Duration> {
        self.lease
    }

    pub fn file(&self) -> Result<File, Malformed> {
        let missing = Malformed("the server does not tell type, fsid, fileid and mode of a file");
        Ok(File {
            kind: self.kind.ok_or(missing)?,
            identity: Identity {
                fsid: self.fsid.ok_or(missing)?,
                fileid: self.fileid.ok_or(missing)?,
            },
            mode: self.mode.ok_or(missing)?,
            uid: self.uid,
            gid: self.gid,
        })
    }
}

/// Reads the attributes in a bitmap, in ascending order, which is the order of their values.
pub(super) fn read_bitmap(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let words = reader.u32()?;
    if words > MOST_WORDS {
        return Err(Malformed("a bitmap is too long"));
    }
    let mut attributes = Vec::new();
    for word in 0..words {
        let bits = reader.u32()?;
        attributes.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| word * 32 + bit));
    }
    Ok(attributes)
}

fn kind(number: u32) -> Kind {
    match number {
        2 => Kind::Directory,
        5 => Kind::Link,
        _ => Kind::File,
    }
}

fn owner(text: &[u8]) -> Owner {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.map_or(Owner::Unknown, Owner::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arbitrary_attributes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
            let _ = Values::read(&mut Reader::new(&bytes)).map(|values| values.file());
        }

        #[test]
        fn attributes_that_a_server_sends_are_read(
            fsid in any::<(u64, u64)>(), fileid in any::<u64>(), mode in 0..=0o7777_u32, uid in any::<u32>(),
        ) {
            let mut writer = Writer::default();
            write_bitmap(&mut writer, OF_A_FILE);
            let mut values = Writer::default();
            values.u32(2);
            for number in [fsid.0, fsid.1, fileid] {
                values.u64(number);
            }
            values.u32(mode);
            values.opaque(uid.to_string().as_bytes());
            values.opaque(b"staff@example.org");
            writer.opaque(&values.into_bytes());
            let sent = writer.into_bytes();
            let file = Values::read(&mut Reader::new(&sent)).and_then(|values| values.file());
            let identity = Identity { fsid, fileid };
            prop_assert_eq!(file, Ok(File { kind: Kind::Directory, identity, mode, uid: Owner::Number(uid), gid: Owner::Unknown }));
        }
    }
}

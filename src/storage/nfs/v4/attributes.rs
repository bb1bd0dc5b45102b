//! File attributes (RFC 8881, 5): the few that Bindery asks for and sets.
//!
//! Owners are sent as numbers (5.9: what AUTH_SYS servers accept); an owner that comes back as a name is unknown.

use std::time::Duration;

use super::xdr::{Malformed, Reader, Writer};
use crate::model::identity::Identity;
use crate::storage::attributes::Change;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{File, ObjectSize};
use crate::storage::{ChangeTime, FileSpace, Found, Space};

/// The type of a directory.
pub(super) const NF4DIR: u32 = 2;

const TYPE: u32 = 1;
const SIZE: u32 = 4;
const FSID: u32 = 8;
const LEASE_TIME: u32 = 10;
const RDATTR_ERROR: u32 = 11;
const FILEID: u32 = 20;
const FILES_AVAIL: u32 = 21;
const FILES_TOTAL: u32 = 23;
const MODE: u32 = 33;
const NUMLINKS: u32 = 35;
const OWNER: u32 = 36;
const OWNER_GROUP: u32 = 37;
const SPACE_AVAIL: u32 = 42;
const SPACE_TOTAL: u32 = 44;
const SPACE_USED: u32 = 45;
const TIME_METADATA: u32 = 52;

/// The attributes that GETATTR asks for.
pub(super) const FILE_ATTRIBUTES: &[u32] = &[
    TYPE,
    SIZE,
    FSID,
    FILEID,
    MODE,
    NUMLINKS,
    OWNER,
    OWNER_GROUP,
    SPACE_USED,
    TIME_METADATA,
];
/// The attributes that GETATTR asks for once, of any file.
pub(super) const SERVER_ATTRIBUTES: &[u32] = &[LEASE_TIME];
/// The attributes that GETATTR asks for to learn the space of a file system.
pub(super) const SPACE_ATTRIBUTES: &[u32] = &[FILES_AVAIL, FILES_TOTAL, SPACE_AVAIL, SPACE_TOTAL];
/// The attributes that READDIR asks for. With RDATTR_ERROR, one unreadable entry does not make the page fail.
pub(super) const ENTRY_ATTRIBUTES: &[u32] = &[TYPE, RDATTR_ERROR];
/// The attributes that READDIR asks for to learn the sizes of entries.
pub(super) const SIZE_ATTRIBUTES: &[u32] = &[TYPE, SIZE, FSID, RDATTR_ERROR, FILEID, NUMLINKS, SPACE_USED];

/// The longest bitmap that is read: the protocol has three words so far.
const MAX_WORDS: u32 = 8;
const LONGEST_ATTRIBUTES: usize = 16 * 1024;
const LONGEST_OWNER: usize = 1024;

/// Writes attributes as SETATTR and CREATE set them.
pub(super) fn write_change(writer: &mut Writer, change: Change) {
    let set = |attribute, value: Option<u32>| value.map(|_| attribute);
    let attributes = [
        set(MODE, change.mode),
        set(OWNER, change.uid),
        set(OWNER_GROUP, change.gid),
    ];
    let attributes: Vec<u32> = attributes.into_iter().flatten().collect();
    write_bitmap(writer, &attributes);
    let mut values = Writer::default();
    if let Some(mode) = change.mode {
        values.u32(mode);
    }
    for owner in [change.uid, change.gid].into_iter().flatten() {
        values.opaque(owner.to_string().as_bytes());
    }
    writer.opaque(&values.into_bytes());
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
    /// `None` if the server did not send the type.
    pub is_directory: Option<bool>,
    fsid: Option<(u64, u64)>,
    fileid: Option<u64>,
    mode: Option<u32>,
    /// `None` if the server sent a name, which cannot be compared, or nothing.
    uid: Option<u32>,
    gid: Option<u32>,
    changed: Option<ChangeTime>,
    pub lease: Option<Duration>,
    space_available: Option<u64>,
    space_total: Option<u64>,
    files_available: Option<u64>,
    files_total: Option<u64>,
    size: Option<u64>,
    links: Option<u32>,
    used: Option<u64>,
}

impl Values {
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let attributes = read_bitmap(reader)?;
        let mut values = Reader::new(reader.opaque(LONGEST_ATTRIBUTES)?);
        let mut read = Self::default();
        for attribute in attributes {
            match attribute {
                TYPE => read.is_directory = Some(values.u32()? == NF4DIR),
                SIZE => read.size = Some(values.u64()?),
                FSID => read.fsid = Some((values.u64()?, values.u64()?)),
                LEASE_TIME => read.lease = Some(Duration::from_secs(values.u32()?.into())),
                // If the attributes of an entry could not be read, it has no others. A look-up returns the reason.
                RDATTR_ERROR => _ = Status(values.u32()?),
                FILEID => read.fileid = Some(values.u64()?),
                FILES_AVAIL => read.files_available = Some(values.u64()?),
                FILES_TOTAL => read.files_total = Some(values.u64()?),
                MODE => read.mode = Some(values.u32()? & 0o7777),
                NUMLINKS => read.links = Some(values.u32()?),
                OWNER => read.uid = owner(values.opaque(LONGEST_OWNER)?),
                OWNER_GROUP => read.gid = owner(values.opaque(LONGEST_OWNER)?),
                SPACE_AVAIL => read.space_available = Some(values.u64()?),
                SPACE_TOTAL => read.space_total = Some(values.u64()?),
                SPACE_USED => read.used = Some(values.u64()?),
                TIME_METADATA => {
                    read.changed = Some(ChangeTime {
                        seconds: values.u64()?.cast_signed(),
                        nanoseconds: values.u32()?,
                    });
                }
                _ => return Err(Malformed("an attribute came that was not asked for")),
            }
        }
        Ok(read)
    }

    /// Returns the space of the file system, if the server sent it.
    pub fn space(&self) -> Option<Space> {
        Some(Space {
            total: self.space_total?,
            available: self.space_available?,
            files: self
                .files_total
                .zip(self.files_available)
                .and_then(|(total, available)| FileSpace::reported(total, available)),
        })
    }

    /// Returns the size of the object, if the server sent enough of it.
    pub fn size(&self) -> Option<ObjectSize> {
        Some(ObjectSize {
            fsid: self.fsid?,
            fileid: self.fileid?,
            links: self.links.unwrap_or(1),
            used: self.used.or(self.size)?,
            is_mounted: false,
        })
    }

    pub fn file(&self) -> Result<File, Malformed> {
        let missing = Malformed("the server does not tell type, fsid, fileid and mode of a file");
        Ok(File {
            is_directory: self.is_directory.ok_or(missing)?,
            found: Found {
                identity: Identity {
                    fsid: self.fsid.ok_or(missing)?,
                    fileid: self.fileid.ok_or(missing)?,
                },
                mode: self.mode.ok_or(missing)?,
                uid: self.uid,
                gid: self.gid,
                changed: self.changed,
            },
            size: self.size(),
        })
    }
}

/// Reads the attributes in a bitmap, in ascending order, which is the order of their values.
pub(super) fn read_bitmap(reader: &mut Reader<'_>) -> Result<Vec<u32>, Malformed> {
    let words = reader.u32()?;
    if words > MAX_WORDS {
        return Err(Malformed("a bitmap is too long"));
    }
    let mut attributes = Vec::new();
    for word in 0..words {
        let bits = reader.u32()?;
        attributes.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| word * 32 + bit));
    }
    Ok(attributes)
}

fn owner(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
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
            length in any::<u64>(), used in any::<u64>(),
        ) {
            let mut writer = Writer::default();
            write_bitmap(&mut writer, FILE_ATTRIBUTES);
            let mut values = Writer::default();
            values.u32(2);
            for number in [length, fsid.0, fsid.1, fileid] {
                values.u64(number);
            }
            values.u32(mode);
            values.u32(3);
            values.opaque(uid.to_string().as_bytes());
            values.opaque(b"staff@example.org");
            values.u64(used);
            values.u64(u64::MAX);
            values.u32(999_999_999);
            writer.opaque(&values.into_bytes());
            let sent = writer.into_bytes();
            let file = Values::read(&mut Reader::new(&sent)).and_then(|values| values.file());
            let identity = Identity { fsid, fileid };
            let changed = Some(ChangeTime { seconds: -1, nanoseconds: 999_999_999 });
            let found = Found { identity, mode, uid: Some(uid), gid: None, changed };
            let size = Some(ObjectSize { fsid, fileid, links: 3, used, is_mounted: false });
            prop_assert_eq!(file, Ok(File { is_directory: true, found, size }));
        }
    }
}

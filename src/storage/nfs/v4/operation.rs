//! The operations that Bindery uses on files, and their results (RFC 8881, 18). The operations of sessions are in
//! [`super::wire`].

use super::attributes::{self, NF4DIR, Values};
use super::xdr::{Malformed, Reader, Writer};
use crate::model::identity::Identity;
use crate::storage::Space;
use crate::storage::attributes::Change;
use crate::storage::verbs::protocol::{Entry, File, Page, Position};

const LONGEST_HANDLE: usize = 128;
const LONGEST_NAME: usize = 4096;

/// A file handle: the server's name for a file, independent of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct Handle(Vec<u8>);

/// An operation and its arguments. "Current" is the current file handle of the COMPOUND.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op<'a> {
    /// Current becomes the root of the server's exports.
    PutRootFh,
    /// Current becomes this file.
    PutFh(&'a Handle),
    /// Current becomes the object of this name in it. Links are not followed.
    Lookup(&'a [u8]),
    /// Saves current.
    SaveFh,
    /// Current becomes the saved file.
    RestoreFh,
    /// Makes a directory, which becomes current.
    CreateDirectory(&'a str, Change),
    SetAttr(Change),
    GetAttr,
    /// Reads the space of the file system of current.
    GetSpace,
    GetFh,
    /// Stops with NOT_SAME unless current is this file.
    Verify(Identity),
    /// Reads names from this position on, in a reply of at most this number of bytes.
    ReadDir(Position, u32),
    /// Does the same, and reads the sizes of the objects.
    ReadDirWithSizes(Position, u32),
    Remove(&'a [u8]),
    /// Moves a name in the saved directory to a name in the current one.
    Rename(&'a str, &'a str),
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Handle(Handle),
    File(File),
    /// `None` if the server does not tell.
    Space(Option<Space>),
    Page(Page),
}

impl Op<'_> {
    /// Returns whether it changes anything on the server.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::CreateDirectory(..) | Self::SetAttr(_) | Self::Remove(_) | Self::Rename(..)
        )
    }

    pub fn number(&self) -> u32 {
        match self {
            Self::CreateDirectory(..) => 6,
            Self::GetAttr | Self::GetSpace => 9,
            Self::GetFh => 10,
            Self::Lookup(_) => 15,
            Self::PutFh(_) => 22,
            Self::PutRootFh => 24,
            Self::ReadDir(..) | Self::ReadDirWithSizes(..) => 26,
            Self::Remove(_) => 28,
            Self::Rename(..) => 29,
            Self::RestoreFh => 31,
            Self::SaveFh => 32,
            Self::SetAttr(_) => 34,
            Self::Verify(_) => 37,
        }
    }

    pub fn write(&self, writer: &mut Writer) {
        writer.u32(self.number());
        match self {
            Self::PutRootFh | Self::SaveFh | Self::RestoreFh | Self::GetFh => {}
            Self::PutFh(handle) => writer.opaque(&handle.0),
            Self::Lookup(name) | Self::Remove(name) => writer.opaque(name),
            Self::CreateDirectory(name, change) => {
                writer.u32(NF4DIR);
                writer.opaque(name.as_bytes());
                attributes::write_change(writer, *change);
            }
            Self::SetAttr(change) => {
                writer.fixed(&[0; 16]); // the anonymous state
                attributes::write_change(writer, *change);
            }
            Self::GetAttr => attributes::write_bitmap(writer, attributes::FILE_ATTRIBUTES),
            Self::GetSpace => attributes::write_bitmap(writer, attributes::SPACE_ATTRIBUTES),
            Self::Verify(identity) => attributes::write_identity(writer, *identity),
            Self::ReadDir(from, room) => write_page(writer, *from, *room, attributes::ENTRY_ATTRIBUTES),
            Self::ReadDirWithSizes(from, room) => write_page(writer, *from, *room, attributes::SIZE_ATTRIBUTES),
            Self::Rename(from, to) => {
                writer.opaque(from.as_bytes());
                writer.opaque(to.as_bytes());
            }
        }
    }

    /// Reads the result of an operation that succeeded, after its status.
    pub fn read(&self, reader: &mut Reader<'_>) -> Result<Answer, Malformed> {
        match self {
            Self::GetFh => return Ok(Answer::Handle(Handle(reader.opaque(LONGEST_HANDLE)?.to_vec()))),
            Self::GetAttr => return Ok(Answer::File(Values::read(reader)?.file()?)),
            Self::GetSpace => return Ok(Answer::Space(Values::read(reader)?.space())),
            Self::ReadDir(from, _) | Self::ReadDirWithSizes(from, _) => {
                return read_page(reader, *from).map(Answer::Page);
            }
            Self::CreateDirectory(..) => {
                read_change(reader)?;
                attributes::read_bitmap(reader)?;
            }
            Self::SetAttr(_) => _ = attributes::read_bitmap(reader)?,
            Self::Remove(_) => read_change(reader)?,
            Self::Rename(..) => {
                read_change(reader)?;
                read_change(reader)?;
            }
            Self::PutRootFh | Self::PutFh(_) | Self::Lookup(_) | Self::SaveFh | Self::RestoreFh | Self::Verify(_) => {}
        }
        Ok(Answer::Done)
    }
}

/// Skips `change_info4`, the directory's change counter, which only caches need.
fn read_change(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    reader.boolean()?;
    reader.u64()?;
    reader.u64()?;
    Ok(())
}

fn write_page(writer: &mut Writer, from: Position, room: u32, attributes: &[u32]) {
    writer.u64(from.cookie);
    writer.fixed(&from.verifier);
    writer.u32(room / 4); // for the names alone
    writer.u32(room);
    attributes::write_bitmap(writer, attributes);
}

fn read_page(reader: &mut Reader<'_>, from: Position) -> Result<Page, Malformed> {
    let mut next = Position {
        verifier: reader.fixed()?,
        ..from
    };
    let mut entries = Vec::new();
    while reader.boolean()? {
        next.cookie = reader.u64()?;
        let name = reader.opaque(LONGEST_NAME)?;
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return Err(Malformed("a directory has an entry with a name that no file can have"));
        }
        let values = Values::read(reader)?;
        entries.push(Entry {
            name: name.to_vec(),
            is_directory: values.is_directory,
            size: values.size(),
        });
    }
    let last = reader.boolean()?;
    Ok(Page { entries, next, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_would_lead_elsewhere_is_refused() {
        for name in ["", ".", "..", "a/b", "a\0b"] {
            let mut page = Writer::default();
            page.u64(0); // verifier
            page.u32(1); // an entry follows
            page.u64(1);
            page.opaque(name.as_bytes());
            attributes::write_bitmap(&mut page, &[]);
            page.opaque(b"");
            page.u32(0);
            page.u32(1);
            let page = page.into_bytes();
            let refused = Malformed("a directory has an entry with a name that no file can have");
            assert_eq!(
                read_page(&mut Reader::new(&page), Position::default()),
                Err(refused),
                "{name:?}"
            );
        }
    }
}

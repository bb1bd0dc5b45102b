//! COMPOUND and the operations that Bindery uses on files (RFC 8881, 16.2 and 18).
//!
//! Left out: everything that opens, reads, writes or locks a file. The operations of sessions are in [`super::session`].

use super::attributes::{self, Change, File, Kind, Values};
use super::xdr::{Malformed, Reader, Writer};
use crate::storage::Identity;
use crate::storage::status::Status;

const LONGEST_HANDLE: usize = 128;
const LONGEST_TAG: usize = 1024;
const LONGEST_NAME: usize = 4096;
const NF4DIR: u32 = 2;

/// A file handle: the server's name for a file, whatever its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handle(Vec<u8>);

/// An operation and its arguments. "Here" is the current file handle.
#[derive(Clone, Copy, Debug)]
pub(super) enum Op<'a> {
    /// Here is the root of the server's exports.
    PutRoot,
    /// Here is this file.
    Put(&'a Handle),
    /// Here becomes what has this name here; links are not followed.
    Lookup(&'a [u8]),
    /// Keeps here as the saved file.
    Save,
    /// Here is the saved file again.
    Restore,
    /// Makes a directory and goes there.
    CreateDirectory(&'a str, Change),
    Set(Change),
    Get,
    GetHandle,
    /// Stops with NOT_SAME unless here is this very file.
    Verify(Identity),
    ReadDirectory(From),
    Remove(&'a [u8]),
    /// Moves a name in the saved directory to a name here.
    Rename(&'a str, &'a str),
}

/// Where READDIR begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct From {
    pub cookie: u64,
    pub verifier: [u8; 8],
    /// How large the reply may be.
    pub room: u32,
}

/// What an operation brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Handle(Handle),
    File(File),
    Page(Page),
}

/// A part of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub verifier: [u8; 8],
    pub entries: Vec<Entry>,
    /// Nothing comes after it.
    pub last: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub cookie: u64,
    pub name: Vec<u8>,
    /// `None`: the server could not tell.
    pub kind: Option<Kind>,
}

/// What a COMPOUND came to: the answers of the operations that went well, and the one that did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub answers: Vec<Answer>,
    pub stopped: Option<Stopped>,
}

/// The operation, counted from 0, at which the server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    pub at: usize,
    pub status: Status,
}

impl Op<'_> {
    /// Whether it changes anything on the server.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::CreateDirectory(..) | Self::Set(_) | Self::Remove(_) | Self::Rename(..)
        )
    }

    fn number(&self) -> u32 {
        match self {
            Self::CreateDirectory(..) => 6,
            Self::Get => 9,
            Self::GetHandle => 10,
            Self::Lookup(_) => 15,
            Self::Put(_) => 22,
            Self::PutRoot => 24,
            Self::ReadDirectory(_) => 26,
            Self::Remove(_) => 28,
            Self::Rename(..) => 29,
            Self::Restore => 31,
            Self::Save => 32,
            Self::Set(_) => 34,
            Self::Verify(_) => 37,
        }
    }

    pub fn write(&self, writer: &mut Writer) {
        writer.u32(self.number());
        match self {
            Self::PutRoot | Self::Save | Self::Restore | Self::GetHandle => {}
            Self::Put(handle) => writer.opaque(&handle.0),
            Self::Lookup(name) | Self::Remove(name) => writer.opaque(name),
            Self::CreateDirectory(name, change) => {
                writer.u32(NF4DIR);
                writer.opaque(name.as_bytes());
                change.write(writer);
            }
            Self::Set(change) => {
                writer.fixed(&[0; 16]); // the anonymous state
                change.write(writer);
            }
            Self::Get => attributes::write_bitmap(writer, attributes::OF_A_FILE),
            Self::Verify(identity) => attributes::write_identity(writer, *identity),
            Self::ReadDirectory(from) => {
                writer.u64(from.cookie);
                writer.fixed(&from.verifier);
                writer.u32(from.room / 4); // of which names alone
                writer.u32(from.room);
                attributes::write_bitmap(writer, attributes::OF_AN_ENTRY);
            }
            Self::Rename(from, to) => {
                writer.opaque(from.as_bytes());
                writer.opaque(to.as_bytes());
            }
        }
    }

    /// Reads what follows the status of an operation that went well.
    fn read(&self, reader: &mut Reader<'_>) -> Result<Answer, Malformed> {
        match self {
            Self::GetHandle => return Ok(Answer::Handle(Handle(reader.opaque(LONGEST_HANDLE)?.to_vec()))),
            Self::Get => return Ok(Answer::File(Values::read(reader)?.file()?)),
            Self::ReadDirectory(_) => return read_page(reader).map(Answer::Page),
            Self::CreateDirectory(..) => {
                read_change(reader)?;
                attributes::read_bitmap(reader)?;
            }
            Self::Set(_) => _ = attributes::read_bitmap(reader)?,
            Self::Remove(_) => read_change(reader)?,
            Self::Rename(..) => {
                read_change(reader)?;
                read_change(reader)?;
            }
            Self::PutRoot | Self::Put(_) | Self::Lookup(_) | Self::Save | Self::Restore | Self::Verify(_) => {}
        }
        Ok(Answer::Done)
    }
}

/// Begins the arguments of a COMPOUND of `count` operations.
pub(super) fn begin(minor: u32, count: usize) -> Writer {
    let mut writer = Writer::default();
    writer.opaque(b""); // tag
    writer.u32(minor);
    writer.u32(u32::try_from(count).unwrap_or(u32::MAX)); // a few dozen at most
    writer
}

/// The results of a COMPOUND, one by one.
pub(super) struct Results<'a> {
    reader: Reader<'a>,
    status: Status,
    left: u32,
}

impl<'a> Results<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let status = Status(reader.u32()?);
        reader.opaque(LONGEST_TAG)?;
        let left = reader.u32()?;
        Ok(Self { reader, status, left })
    }

    /// The status of the next operation, which is the one of this number. A COMPOUND that failed as a whole has no
    /// results; its status stands for them.
    pub fn next(&mut self, number: u32) -> Result<Status, Malformed> {
        const ILLEGAL: u32 = 10044;
        if self.left == 0 {
            let short = Malformed("the reply has fewer results than the call has operations");
            return if self.status == Status::OK {
                Err(short)
            } else {
                Ok(self.status)
            };
        }
        self.left -= 1;
        let answered = self.reader.u32()?;
        let status = Status(self.reader.u32()?);
        if answered == number || (answered == ILLEGAL && status != Status::OK) {
            Ok(status)
        } else {
            Err(Malformed("the reply answers another operation than was sent"))
        }
    }

    pub fn reader(&mut self) -> &mut Reader<'a> {
        &mut self.reader
    }

    /// The results of these operations.
    pub fn read(mut self, ops: &[Op<'_>]) -> Result<Reply, Malformed> {
        let mut answers = Vec::with_capacity(ops.len());
        for (at, op) in ops.iter().enumerate() {
            let status = self.next(op.number())?;
            if status != Status::OK {
                return Ok(Reply {
                    answers,
                    stopped: Some(Stopped { at, status }),
                });
            }
            answers.push(op.read(&mut self.reader)?);
        }
        Ok(Reply { answers, stopped: None })
    }
}

impl Reply {
    /// The handle that the last GETFH brought.
    pub fn handle(&self) -> Option<Handle> {
        self.answers.iter().rev().find_map(|answer| match answer {
            Answer::Handle(handle) => Some(handle.clone()),
            _ => None,
        })
    }

    /// The file that the last GETATTR told of.
    pub fn file(&self) -> Option<File> {
        self.answers.iter().rev().find_map(|answer| match answer {
            Answer::File(file) => Some(*file),
            _ => None,
        })
    }

    /// The page that READDIR brought.
    pub fn into_page(self) -> Option<Page> {
        self.answers.into_iter().rev().find_map(|answer| match answer {
            Answer::Page(page) => Some(page),
            _ => None,
        })
    }
}

/// `change_info4`: how the directory's change counter went. Nothing is cached here, so nobody wants to know.
fn read_change(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    reader.boolean()?;
    reader.u64()?;
    reader.u64()?;
    Ok(())
}

fn read_page(reader: &mut Reader<'_>) -> Result<Page, Malformed> {
    let verifier = reader.fixed()?;
    let mut entries = Vec::new();
    while reader.boolean()? {
        let cookie = reader.u64()?;
        let name = reader.opaque(LONGEST_NAME)?;
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0) {
            return Err(Malformed("a directory has an entry with a name that no file can have"));
        }
        let kind = Values::read(reader)?.kind();
        entries.push(Entry {
            cookie,
            name: name.to_vec(),
            kind,
        });
    }
    let last = reader.boolean()?;
    Ok(Page {
        verifier,
        entries,
        last,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_op() -> impl Strategy<Value = Op<'static>> {
        prop_oneof![
            Just(Op::PutRoot),
            Just(Op::Lookup(b"a")),
            Just(Op::CreateDirectory("a", Change::mode(0o755))),
            Just(Op::Set(Change::mode(0o755))),
            Just(Op::Get),
            Just(Op::GetHandle),
            Just(Op::ReadDirectory(From::default())),
            Just(Op::Remove(b"a")),
            Just(Op::Rename("a", "b")),
        ]
    }

    proptest! {
        #[test]
        fn an_arbitrary_reply_is_read_or_refused(
            bytes in any::<Vec<u8>>(), ops in prop::collection::vec(any_op(), 0..8),
        ) {
            let _ = Results::new(&bytes).and_then(|results| results.read(&ops));
        }

        /// Gets past the header and the operation's number, where arbitrary bytes seldom do.
        #[test]
        fn an_arbitrary_result_is_read_or_refused(bytes in any::<Vec<u8>>(), op in any_op()) {
            let mut reply = Writer::default();
            reply.u32(0);
            reply.opaque(b"");
            reply.u32(1);
            reply.u32(op.number());
            reply.u32(0);
            let mut reply = reply.into_bytes();
            reply.extend(&bytes);
            if let Ok(Reply { answers, .. }) = Results::new(&reply).and_then(|results| results.read(&[op])) {
                prop_assert_eq!(answers.len(), 1);
            }
        }
    }

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
            assert_eq!(read_page(&mut Reader::new(&page)), Err(refused), "{name:?}");
        }
    }
}

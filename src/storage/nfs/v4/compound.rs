//! COMPOUND: operations that go to the server together, and the reply to them (RFC 8881, 16.2).

use super::operation::{Answer, Handle, Op};
use super::xdr::{Malformed, Reader, Writer};
use crate::storage::Space;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{File, Page};

const LONGEST_TAG: usize = 1024;

/// The reply says that everything succeeded, but lacks results. A server that is being stopped can send this, so the call
/// counts as one without an answer.
pub(super) const INCOMPLETE: Malformed = Malformed("the reply has fewer results than the call has operations");

/// The reply to a COMPOUND: the answers of the operations that succeeded, and the one that failed.
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

    /// Returns the status of the next operation, which has this number. A COMPOUND that failed as a whole has no results:
    /// then this is its status.
    pub fn next(&mut self, number: u32) -> Result<Status, Malformed> {
        const ILLEGAL: u32 = 10044;
        if self.left == 0 {
            return if self.status == Status::OK {
                Err(INCOMPLETE)
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

    /// Reads the results of these operations.
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
    /// Returns the handle of the last GETFH.
    pub fn handle(&self) -> Option<Handle> {
        self.answers.iter().rev().find_map(|answer| match answer {
            Answer::Handle(handle) => Some(handle.clone()),
            _ => None,
        })
    }

    /// Returns the attributes of the last GETATTR.
    pub fn file(&self) -> Option<File> {
        self.answers.iter().rev().find_map(|answer| match answer {
            Answer::File(file) => Some(*file),
            _ => None,
        })
    }

    /// Returns the space of the file system; `None` if the server did not tell.
    pub fn space(&self) -> Option<Space> {
        self.answers.iter().rev().find_map(|answer| match answer {
            Answer::Space(space) => *space,
            _ => None,
        })
    }

    /// Returns the page of READDIR.
    pub fn into_page(self) -> Option<Page> {
        self.answers.into_iter().rev().find_map(|answer| match answer {
            Answer::Page(page) => Some(page),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::attributes::Change;
    use crate::storage::nfs::v4::rpc::RpcError;
    use crate::storage::verbs::protocol::Position;

    fn any_op() -> impl Strategy<Value = Op<'static>> {
        prop_oneof![
            Just(Op::PutRootFh),
            Just(Op::Lookup(b"a")),
            Just(Op::CreateDirectory("a", Change::mode(0o755))),
            Just(Op::SetAttr(Change::mode(0o755))),
            Just(Op::GetAttr),
            Just(Op::GetSpace),
            Just(Op::GetFh),
            Just(Op::ReadDir(Position::default(), 0)),
            Just(Op::ReadDirWithSizes(Position::default(), 0)),
            Just(Op::Remove(b"a")),
            Just(Op::Rename("a", "b")),
        ]
    }

    #[test]
    fn a_reply_that_says_ok_and_lacks_results_counts_as_no_answer() {
        let mut reply = Writer::default();
        reply.u32(0); // OK
        reply.opaque(b"");
        reply.u32(1);
        reply.u32(Op::PutRootFh.number());
        reply.u32(0); // OK
        let reply = reply.into_bytes();
        let error = Results::new(&reply).and_then(|results| results.read(&[Op::PutRootFh, Op::Remove(b"a")]));
        let error = RpcError::from(error.unwrap_err());
        assert!(error.is_no_answer(), "{error:?}");
        let other = Results::new(&reply).and_then(|results| results.read(&[Op::Remove(b"a")]));
        assert!(
            !RpcError::from(other.unwrap_err()).is_no_answer(),
            "it answers another operation"
        );
    }

    proptest! {
        #[test]
        fn an_arbitrary_reply_is_read_or_refused(
            bytes in any::<Vec<u8>>(), ops in prop::collection::vec(any_op(), 0..8),
        ) {
            let _ = Results::new(&bytes).and_then(|results| results.read(&ops));
        }

        /// Here the header and the operation's number are valid: arbitrary bytes seldom have valid ones.
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
}

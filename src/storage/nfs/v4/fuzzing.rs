//! Gives the fuzz target `nfs_reply` access to the parsers. Not part of any other build.

use super::compound::{Reply, Results};
use super::operation::{Answer, Op};
use super::rpc;
use super::xdr::Malformed;
use crate::storage::attributes::Change;
use crate::storage::verbs::protocol::Position;

/// Reads bytes as a server's answer to each of the calls that the verbs make: with the header of RPC, and without it, since
/// arbitrary bytes seldom pass the header. Panics if the parsers accept what they must refuse.
pub fn read_reply(bytes: &[u8]) {
    const XID: u32 = 7;
    if let Ok(results) = rpc::results_of(bytes, XID) {
        read_results(&bytes[bytes.len() - results..]);
    }
    read_results(bytes);
}

fn read_results(bytes: &[u8]) {
    let name = Op::Lookup(b"a");
    let page = Op::ReadDir(Position::default(), 0);
    let set = Op::SetAttr(Change::mode(0o755));
    let make = Op::CreateDirectory("a", Change::mode(0o755));
    let sizes = Op::ReadDirWithSizes(Position::default(), 0);
    let calls: [&[Op<'_>]; 7] = [
        &[Op::PutRootFh, name, Op::GetFh, Op::GetAttr],
        &[page],
        &[sizes],
        &[Op::SaveFh, make, Op::GetFh, set, Op::GetAttr],
        &[Op::Rename("a", "b"), name, Op::GetAttr],
        &[Op::Remove(b"a"), Op::RestoreFh],
        &[Op::GetSpace],
    ];
    for ops in calls {
        if let Ok(reply) = read(bytes, ops) {
            check(&reply, ops, bytes.len());
        }
    }
}

fn read(bytes: &[u8], ops: &[Op<'_>]) -> Result<Reply, Malformed> {
    Results::new(bytes)?.read(ops)
}

/// Checks that there is an answer for each operation before the one that failed, and no more in memory than was sent.
fn check(reply: &Reply, ops: &[Op<'_>], sent: usize) {
    let answered = reply.stopped.map_or(ops.len(), |stopped| stopped.at);
    assert_eq!(reply.answers.len(), answered);
    for answer in &reply.answers {
        if let Answer::Page(page) = answer {
            // The smallest entry: a boolean, its cookie, a name, two empty fields.
            assert!(page.entries.len() * 28 <= sent);
            for entry in &page.entries {
                let name = &entry.name[..];
                assert!(!matches!(name, b"" | b"." | b"..") && !name.contains(&b'/') && !name.contains(&0));
            }
        }
    }
}

//! NFS without a mount: clients in user space, one for each version of the protocol.

mod attempt;
mod connect;
mod no_answer;
mod remove_tree;
mod v3;
mod v4;

pub use self::v3::Nfs3Storage;
#[cfg(fuzzing)]
pub use self::v4::fuzzing;
pub use self::v4::{NfsOptions, NfsStorage};

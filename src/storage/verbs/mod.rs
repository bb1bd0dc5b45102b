//! The verbs of [`crate::storage::Storage`], the same for every kind: which calls are made in which order, and what
//! their answers mean. [`protocol`] lists the calls.

mod find;
mod list;
mod make;
pub(super) mod protocol;
pub(super) mod remove_tree;
mod rename;

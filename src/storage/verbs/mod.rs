//! The verbs of [`crate::storage::Storage`], the same for every kind of storage: the order of the calls, and the meaning
//! of their answers. [`protocol`] lists the calls.

mod find;
mod limit;
mod list;
mod make;
mod measure;
pub(super) mod protocol;
pub(super) mod remove_tree;
mod rename;
mod space;

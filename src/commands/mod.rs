//! The commands of the program. Each has a module.

mod age;
pub mod archives;
pub mod bytes;
pub mod check;
pub mod completion;
mod connect;
pub mod console;
pub mod df;
pub mod explain;
pub mod man;
pub mod restore;
mod serialize;
pub mod serve;
mod table;
pub mod uninstall;

//! The commands of the program. Each has a module.

pub mod check;
pub mod explain;
pub mod serve;
mod table;
pub mod uninstall;

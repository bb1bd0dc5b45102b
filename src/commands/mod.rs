//! The commands of the program. Each has a module.

pub mod check;
pub mod explain;
pub mod serve;
pub mod uninstall;

//! The commands of the program, one module each.

pub mod check;
pub mod explain;
pub mod serve;
pub mod uninstall;

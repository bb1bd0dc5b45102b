//! What Bindery decides. Pure: no I/O, no clock, no client, no randomness; everything comes in as an argument and every
//! decision goes out as a value.
//!
//! On the way in, [`claim`], [`class`] and [`annotations`] read the objects that have a say, and [`decide`] joins them. On the way out, [`plan`] reads what stands on the volume and nothing else.

pub mod annotations;
pub mod claim;
pub mod class;
pub mod decide;
pub mod directory;
pub mod exempt;
pub mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod foreign;
mod heard;
pub mod key;
pub mod labels;
pub mod location;
pub mod mistake;
pub mod not_ours;
pub mod old_name;
pub mod on_delete;
pub mod parting;
pub mod plan;
pub mod quantity;
pub mod retention;
pub mod settings;
pub mod settled;
pub mod taken;
pub mod takeover;
pub mod template;
pub mod turn;

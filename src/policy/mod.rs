//! What Bindery decides. Pure: no I/O, no clock, no client, no randomness; everything comes in as an argument and every
//! decision goes out as a value.
//!
//! On the way in, [`crate::model::claim`], [`class`] and [`annotations`] read the objects that have a say, and [`decide`] joins them. On the way out, [`reconcile`] reads what stands on the volume and nothing else.

pub mod annotations;
pub mod class;
pub mod conflict;
pub mod decide;
pub mod effective;
pub mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod key;
pub mod legacy;
pub mod other_installation;
pub mod reconcile;
pub mod selectors;
pub mod settings;
pub mod shared_directory;
pub mod template;
pub mod uninstall;

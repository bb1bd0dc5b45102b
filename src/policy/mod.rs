//! Decisions. Pure: no I/O, no clock, no client, no randomness. The input is passed as arguments, and each decision is
//! returned as a value.
//!
//! For a claim that is created, [`crate::model::claim`], [`class`] and [`annotations`] read the objects, and [`decide`]
//! combines them. For a volume, [`reconcile`] reads what is recorded on the volume and nothing else.

pub mod annotations;
pub mod archives;
pub mod class;
pub mod conflict;
pub mod csi;
pub mod decide;
pub mod driver_volume;
pub mod effective;
pub mod expansion;
pub mod explain;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod groups;
pub mod key;
pub mod legacy_class;
pub mod legacy_volume;
mod mount_options;
pub mod other_installation;
pub mod reconcile;
pub mod restore;
pub mod restore_claim;
pub mod selectors;
pub mod settings;
pub mod shared_directory;
pub mod space;
pub mod taken_over;
pub mod template;
pub mod uninstall;

//! Values that all other modules use: claims, volumes, shares, directories and their names. Pure; imports no other
//! module of the crate.

pub mod archive;
pub mod attributes;
pub mod binder_mode;
pub mod candidate;
pub mod choices;
pub mod claim;
pub mod data_source;
pub mod directory;
pub mod endpoint;
pub mod foreign_volume;
pub mod group;
pub mod identity;
pub mod invalid;
pub mod labels;
pub mod location;
pub mod names;
pub mod namespace;
pub mod on_delete;
pub mod os_error;
pub mod quantity;
pub mod reclaim;
pub mod retention;
pub mod share_id;
pub mod share_space;
pub mod source;
pub mod space;
pub mod topologies;
pub mod usage;
pub mod volume;
pub mod volume_source;

//! Volumes: bound to their claims, cleaned up when these are gone.

pub mod aliases;
pub mod bind;
pub mod class_mismatch;
pub mod cleanup;
pub mod complete_claim;
pub mod destination;
pub mod empty_trash;
pub mod file_system;
pub mod identities;
pub mod kcm_nudge;
pub mod legacy;
pub mod move_aside;
pub mod other_installation;
pub mod overlap;
pub mod put_back;
pub mod queue;
pub mod reconcile;
pub mod retention;
pub mod trash_roots;
pub mod triggers;
pub mod unchanged_since;

//! Space: the free space of the shares in use, and the space that volumes and archives use.
//!
//! [`shares`] asks each server for the space of its shares. [`usage`] measures volumes and archives in the background, the
//! oldest measurement first ([`schedule`]). For each server one tree is measured at a time, within a number of calls a
//! second ([`pace`]), and a large tree in several turns ([`large`]). The results are kept in the API ([`record`], and an
//! annotation of each volume and archive), so that the next leader and `bindery df` have them. [`totals`] sets the metrics.

mod large;
mod pace;
mod record;
mod schedule;
pub mod shares;
mod targets;
mod totals;
pub mod usage;

//! What the people who run Bindery see of it: metrics, Events, probes, logs, and how it stops.

pub mod admin;
pub mod events;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod tasks;

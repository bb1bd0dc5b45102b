//! Operations: metrics, Events, probes, logs, listening, and shutdown.

pub mod admin;
pub mod events;
pub mod exposition;
pub mod listen;
pub mod logs;
pub mod metrics;
pub mod space_metrics;
pub mod tasks;

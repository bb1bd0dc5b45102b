//! What the scenarios stand on.

pub mod nfs;
pub mod relay;

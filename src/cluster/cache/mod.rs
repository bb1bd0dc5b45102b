//! What is kept of a watched object: its name and its version, and the facts that are used.
//!
//! There may be ten thousand of them, and the types of the API have room for everything that a volume or a claim could
//! say, which would be most of what they cost. So each is read once, as it arrives, and only the facts stay.

mod cached;
mod claim;
mod volume;

pub use self::cached::{Cached, Summary};
pub use self::claim::ClaimSummary;
pub use self::volume::VolumeSummary;

/// A claim as the watch keeps it.
pub type CachedClaim = Cached<ClaimSummary>;
/// A volume as the watch keeps it.
pub type CachedVolume = Cached<VolumeSummary>;

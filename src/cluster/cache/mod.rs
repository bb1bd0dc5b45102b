//! What is kept of a watched object: its name and its version, and the facts that are used.
//!
//! There may be ten thousand of them, and the types of the API have room for everything that a volume or a claim could
//! say, which would be most of what they cost. So each is read once, as it arrives, and only the facts stay.

mod claim;
mod kept;
mod volume;

pub use self::claim::ClaimFacts;
pub use self::kept::{Facts, Kept};
pub use self::volume::VolumeFacts;

/// A claim as the watch keeps it.
pub type KeptClaim = Kept<ClaimFacts>;
/// A volume as the watch keeps it.
pub type KeptVolume = Kept<VolumeFacts>;

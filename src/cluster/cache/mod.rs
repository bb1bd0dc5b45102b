//! Cached objects: name, version, and a summary of the fields that are used.
//!
//! There may be ten thousand objects, and most of the memory would be for fields that are never used. So each object is
//! summarized when it arrives.

mod archive;
mod cached;
mod claim;
mod volume;

pub use self::archive::ArchiveSummary;
pub use self::cached::{Cached, Summary};
pub use self::claim::ClaimSummary;
pub use self::volume::VolumeSummary;

/// The object of an archive in the cache.
pub type CachedArchive = Cached<ArchiveSummary>;
/// A claim in the cache.
pub type CachedClaim = Cached<ClaimSummary>;
/// A volume in the cache.
pub type CachedVolume = Cached<VolumeSummary>;

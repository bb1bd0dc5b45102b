//! What is handed over to the loop that empties the trash.

use crate::model::directory::{Directory, Share};

/// A directory in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its share.
    pub share: Share,
    /// Its place there.
    pub place: Directory,
}

//! The PersistentVolume: built from a decision ([`NewVolume`]), and read back as facts ([`Volume`]).
//!
//! The volume is the record of everything that Bindery intends and has done; cleanup reads it there and nowhere else,
//! so it works with the class, the namespace and the claim gone.

mod build;
mod read;

use uuid::Uuid;

pub use self::build::NewVolume;
pub use self::read::{ClaimRef, Phase, Record, Volume};
use crate::model::directory::{Directory, Share};

/// Whose work the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Bindery makes it.
    New,
    /// It was there before.
    Adopted,
}

/// Who we are: what every volume of ours carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The provisioner of our classes.
    pub provisioner: String,
    /// The id of this installation.
    pub instance: String,
}

/// The label by which volumes that may overlap are found in the API: a hash of the server and the first segment below the
/// share.
pub fn area(share: &Share, directory: &Directory) -> String {
    let first = directory.segments().next().unwrap_or_default();
    let place = format!("nfs://{}{}", share.server(), share.path().trim_end_matches('/'));
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{place}/{first}").as_bytes())
        .simple()
        .to_string()
}

#[cfg(test)]
mod tests;

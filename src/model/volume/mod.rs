//! PersistentVolumes: built from a decision ([`NewVolume`]), and read from the API ([`Volume`]).
//!
//! The volume records everything that Bindery will do and has done. Cleanup reads only this record, so it works even if
//! the class, the namespace and the claim are gone.

mod annotations;
mod build;
mod read;
mod restored;

use uuid::Uuid;

pub use self::build::{NewVolume, group_annotations};
pub use self::read::{ClaimRef, Phase, Record, Volume, first_overlap};
pub use self::restored::Restored;
use crate::model::choices::choices;
use crate::model::directory::{Directory, Share};

choices! {
    /// Whether Bindery created the directory.
    Origin, allowed: "new, adopted or restored", {
        /// Bindery created it, or will create it.
        New = "new",
        /// It already existed.
        Adopted = "adopted",
        /// It is the directory of an archive, and no claim has had the volume. Bindery moves it to the path of the volume, or
        /// back.
        Restored = "restored",
    }
}

/// The identity of this installation of Bindery. Every volume that it creates carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// The provisioner of its StorageClasses.
    pub provisioner: String,
    /// The id of the installation.
    pub instance: String,
}

/// The value of the label by which volumes that may overlap are found in the API: a hash of the server and the first
/// segment below the share.
pub fn area(share: &Share, directory: &Directory) -> String {
    let first = directory.segments().next().unwrap_or_default();
    let place = format!("nfs://{}{}", share.server(), share.path().trim_end_matches('/'));
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("{place}/{first}").as_bytes())
        .simple()
        .to_string()
}

#[cfg(test)]
mod tests;

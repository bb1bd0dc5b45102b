//! Whether the object of an archive keeps it, although the time in its name on the share has passed.
//!
//! The annotation `bindery.dev/keep-until` may not be on the share yet: it was written while Bindery did not run, or while
//! the NFS server did not answer.

use jiff::Timestamp;

use super::follow::go_on;
use super::reconcile;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_object;
use crate::model::archive::Archive;
use crate::model::directory::{ArchiveName, Share};
use crate::policy::archives::is_kept;

/// Returns whether an archive is kept, and renames it then. While it is not known whether the definition is installed, every
/// archive is kept.
pub async fn is_kept_by_object(leader: &Leader, share: &Share, name: &ArchiveName<'_>) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    match leader.archives.is_installed() {
        None => return Ok(true),
        Some(false) => return Ok(false),
        Some(true) => {}
    }
    let mut found = archive_object::with_key(ctx, name.key).await?;
    let keeps = |archive: &Archive| {
        archive.spec.instance == ctx.installation.instance && is_kept(archive.keep_until(), Timestamp::now())
    };
    found.retain(keeps);
    for archive in &found {
        // An object that is being deleted has a reconcile of its own.
        if archive_object::is_own(ctx, archive) && archive.metadata.deletion_timestamp.is_none() {
            go_on(share, reconcile::follow(leader, archive).await)?;
        }
    }
    Ok(!found.is_empty())
}

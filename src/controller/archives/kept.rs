//! Whether an archive is kept, although the time in its name on the share has passed.
//!
//! The annotation `bindery.dev/keep-until` of its object may not be on the share yet: it was written while Bindery did not
//! run, or while the NFS server did not answer. Or a claim waits for the archive, for the same reasons.

use jiff::Timestamp;
use kube::ResourceExt;

use super::follow::go_on;
use super::reconcile;
use crate::cluster::cache::CachedClaim;
use crate::controller::context::Context;
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::controller::volumes::archive_object;
use crate::model::archive::Archive;
use crate::model::data_source::DataSource;
use crate::model::directory::{ArchiveName, Share};
use crate::policy::archives::is_kept;

/// Returns whether an archive is kept by its object or by a claim. In the first case it is renamed. While it is not known whether the definition is installed, every
/// archive is kept.
pub async fn is_still_needed(leader: &Leader, share: &Share, name: &ArchiveName<'_>) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    match leader.archives.is_installed() {
        None => return Ok(true),
        Some(false) => return Ok(false),
        Some(true) => {}
    }
    let mut found = ctx.cluster.archives_with_key(name.key).await?;
    found.retain(|archive| archive.spec.instance == ctx.installation.instance);
    if found.iter().any(|archive| is_awaited(ctx, archive)) {
        return Ok(true);
    }
    found.retain(|archive| is_kept(archive.keep_until(), Timestamp::now()));
    for archive in &found {
        // An object that is being deleted has a reconcile of its own.
        if archive_object::is_own(ctx, archive) && archive.metadata.deletion_timestamp.is_none() {
            go_on(share, reconcile::follow(leader, archive).await)?;
        }
    }
    Ok(!found.is_empty())
}

/// Returns whether a claim without a volume names an archive, or the claim whose archive it is.
fn is_awaited(ctx: &Context, archive: &Archive) -> bool {
    let (namespace, name) = (archive.namespace().unwrap_or_default(), archive.name_any());
    let names_it = |claim: &CachedClaim| {
        let is_pending = claim.is_pending();
        let claim = claim.read();
        let is_named = |named: &str| named == name || named == archive.spec.claim_name;
        is_pending
            && claim.namespace == namespace
            && matches!(&claim.data_source, DataSource::Archive(named) if is_named(named))
    };
    !ctx.cluster.claims.store().state_filter(names_it).is_empty()
}

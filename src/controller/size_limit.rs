//! The limit of the size of a directory: sets it for volumes with `sizeLimit: set`, and checks it for volumes with
//! `sizeLimit: require`.

use super::context::{Context, storage_deadline};
use super::error::Error;
use crate::model::choices::SizeLimit;
use crate::model::claim::Bytes;
use crate::model::identity::Identity;
use crate::model::volume::{Origin, Record, Volume};
use crate::policy::space::size_limit_refusal;
use crate::provision::limit_of;
use crate::storage::ExistingLimit;

/// Raises the limit of a volume's directory to this size, if Bindery sets it.
pub async fn limit_size(ctx: &Context, record: &Record, size: Option<&Bytes>, identity: Identity) -> Result<(), Error> {
    let (SizeLimit::Set, Some(size)) = (record.size_limit, size) else {
        return Ok(());
    };
    let bytes = u64::try_from(size.bytes).unwrap_or(u64::MAX);
    let existing = ExistingLimit::of(record.origin == Origin::New);
    let set = ctx.storage.limit_size(
        &record.share,
        &record.directory,
        identity,
        bytes,
        existing,
        storage_deadline(),
    );
    Ok(set.await?)
}

/// Returns why a claim may not get its new volume: the class requires a limit, and the directory has none. The call that
/// created the volume makes the same check, but it may have stopped before.
pub async fn missing_limit(ctx: &Context, volume: &Volume, record: &Record) -> Result<Option<String>, Error> {
    let is_new = record.identity.is_none();
    if record.size_limit != SizeLimit::Require || !is_new {
        return Ok(None);
    }
    let (share, directory) = (&record.share, &record.directory);
    let limit = limit_of(&*ctx.storage, share, directory, storage_deadline()).await?;
    Ok(size_limit_refusal(share, directory, &volume.class, limit))
}

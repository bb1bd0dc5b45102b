//! Sets the limit of the size of a directory, for volumes with `sizeLimit: set`.

use super::context::{Context, storage_deadline};
use super::error::Error;
use crate::model::choices::SizeLimit;
use crate::model::claim::Bytes;
use crate::model::identity::Identity;
use crate::model::volume::{Origin, Record};
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

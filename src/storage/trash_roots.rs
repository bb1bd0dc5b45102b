//! The directories of a share that hold trash and archives of an installation.

use tokio::time::Instant;

use super::{Storage, StorageError};
use crate::model::directory::{Share, TrashRoot};

/// Returns the root of the share and each marked directory below it. `deadline` returns the deadline of the next call.
pub async fn trash_roots(
    storage: &dyn Storage,
    share: &Share,
    instance: &str,
    deadline: impl Fn() -> Instant + Send,
) -> Result<Vec<TrashRoot>, StorageError> {
    let mut trash_roots = vec![TrashRoot::SHARE];
    let mut looked_at = 0;
    while let Some(root) = trash_roots.get(looked_at).cloned() {
        let markers = root.marker(instance).unwrap_or_else(|| TrashRoot::markers(instance));
        let names = storage.list(share, Some(&markers), deadline()).await?;
        trash_roots.extend(names.iter().filter_map(|name| root.below(name)));
        looked_at += 1;
    }
    Ok(trash_roots)
}

//! Records the identity of the directory on volumes that lack it: volumes of other programs and of earlier versions,
//! and volumes whose annotations an administrator has removed.
//!
//! Trigger: such a volume, in use. The directories are looked up one after the other, because nobody waits for them. If
//! a directory is missing, or its server cannot be reached, it is looked up again after a pause that doubles.

use std::collections::HashSet;
use std::future::ready;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::timeout;

use super::file_system;
use crate::cluster::cache::CachedVolume;
use crate::cluster::patch::{self, set_annotation, test_annotation};
use crate::controller::context::{Context, storage_deadline};
use crate::controller::error::Error;
use crate::controller::leader::Leader;
use crate::model::names::volume_annotation;
use crate::model::volume::Volume;

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// The maximum number of watch events that start one round.
const MAX_EVENTS: usize = 10_000;

/// Records identities when volumes that lack one appear or change. Never returns.
pub async fn run(leader: &Leader) {
    let lacking = leader
        .ctx
        .cluster
        .volumes
        .events()
        .filter(|cached| ready(lacks_identity(&leader.ctx, cached.read())));
    let mut lacking = std::pin::pin!(lacking.map(drop).ready_chunks(MAX_EVENTS));
    let mut pause = FIRST_PAUSE;
    let mut tried = HashSet::new();
    let mut all_recorded = true;
    loop {
        let changed = if all_recorded {
            lacking.next().await.is_some()
        } else {
            timeout(pause, lacking.next()).await.is_ok()
        };
        if !changed {
            tried.clear();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        all_recorded = record_all(leader, &mut tried).await;
        if all_recorded {
            pause = FIRST_PAUSE;
        }
    }
}

/// Returns whether a volume is in use and does not record the identity of its directory or its share.
fn lacks_identity(ctx: &Context, volume: &Volume) -> bool {
    let ours = volume.has_finalizer && ctx.is_own(volume);
    let lacks = |record: &crate::model::volume::Record| record.identity.is_none() || record.share_id.is_none();
    ours && volume.ready && !volume.deleting && volume.record.as_ref().is_ok_and(lacks)
}

/// Looks up the directory of each volume that lacks the identity. Returns whether all are recorded now. `tried` holds
/// versions of volumes that are not looked up again in this round.
async fn record_all(leader: &Leader, tried: &mut HashSet<(String, String)>) -> bool {
    let ctx = &leader.ctx;
    let mut not_answering = HashSet::new();
    let mut all = true;
    for cached in ctx
        .cluster
        .volumes
        .store()
        .state_filter(|cached| lacks_identity(ctx, cached.read()))
    {
        let server = cached.server().unwrap_or_default().to_owned();
        let state = (cached.name_any(), cached.read().version.clone());
        if not_answering.contains(&server) || tried.contains(&state) {
            all = false;
            continue;
        }
        match record_identity(leader, &cached).await {
            Ok(true) => {}
            Ok(false) => {
                all = false;
                tried.insert(state);
            }
            Err(error) => {
                all = false;
                tracing::debug!(volume = state.0, %error, "could not determine the identity of a volume's directory");
                if let Error::Storage(error) = error
                    && error.transient()
                {
                    not_answering.insert(server);
                } else {
                    tried.insert(state);
                }
            }
        }
    }
    all
}

/// Records the identity of the directory at a volume's path. Returns whether it is recorded. A directory is not
/// accepted if the volume records another identity, or other volumes of the share another file system.
async fn record_identity(leader: &Leader, cached: &CachedVolume) -> Result<bool, Error> {
    let ctx = &leader.ctx;
    let volume = cached.read();
    let Ok(record) = &volume.record else { return Ok(false) };
    let (found, share_id) = tokio::try_join!(
        ctx.storage
            .look_up(&record.share, &record.directory, storage_deadline()),
        ctx.storage.identify(&record.share, storage_deadline()),
    )?;
    let Some(found) = found else { return Ok(false) };
    let is_another = record.identity.is_some_and(|identity| identity != found.identity);
    if is_another || file_system::root_change(ctx, record, share_id).is_some() {
        return Ok(false);
    }
    leader.may_act()?;
    let before = record.identity.map(|identity| identity.to_string());
    let operations = vec![
        patch::test_uid(volume),
        test_annotation(volume_annotation::DIRECTORY_ID, json!(before)),
        set_annotation(volume_annotation::DIRECTORY_ID, &found.identity.to_string()),
        set_annotation(volume_annotation::SHARE_ID, &share_id.to_string()),
    ];
    patch::apply(&ctx.persistent_volumes(), &volume.name, operations).await?;
    ctx.metrics.step("identified");
    Ok(true)
}

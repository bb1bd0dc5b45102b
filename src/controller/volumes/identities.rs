//! Volumes that do not say which directory and which file system they are on: those of other programs, those of earlier
//! versions, and those whose marks an administrator has removed.
//!
//! Trigger: such a volume, in use. Each is looked at once and marked, one after the other, for nobody waits for it. What is
//! not there, or not to be reached, is looked at again after a pause that grows.

use std::collections::HashSet;
use std::future::ready;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::timeout;

use crate::cluster::cache::CachedVolume;
use crate::cluster::patch::{self, set_annotation, test_annotation};
use crate::controller::Volumes;
use crate::controller::error::Failure;
use crate::model::names::mark;
use crate::model::volume::Volume;

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// Changes that are heard of at once.
const AT_ONCE: usize = 10_000;

/// Marks volumes as they come. Never ends.
pub async fn run(volumes: &Volumes) {
    let lacking = volumes
        .cluster
        .volumes
        .events()
        .filter(|kept| ready(volumes.lacks_identity(kept.read())));
    let mut lacking = std::pin::pin!(lacking.map(drop).ready_chunks(AT_ONCE));
    let mut pause = FIRST_PAUSE;
    let mut tried = HashSet::new();
    let mut all_marked = true;
    loop {
        let heard = if all_marked {
            lacking.next().await.is_some()
        } else {
            timeout(pause, lacking.next()).await.is_ok()
        };
        if !heard {
            tried.clear();
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        all_marked = volumes.mark_all(&mut tried).await;
        if all_marked {
            pause = FIRST_PAUSE;
        }
    }
}

impl Volumes {
    /// Whether a volume is in use and does not say which directory it is, or on which file system.
    fn lacks_identity(&self, volume: &Volume) -> bool {
        let ours = volume.held && volume.maker.as_ref() == Some(&*self.us);
        let lacks = |record: &crate::model::volume::Record| record.identity.is_none() || record.share_id.is_none();
        ours && volume.ready && !volume.deleting && volume.record.as_ref().is_ok_and(lacks)
    }

    /// Whether none is left. `tried`: states of volumes that are not looked at again in this round.
    async fn mark_all(&self, tried: &mut HashSet<(String, String)>) -> bool {
        let mut silent = HashSet::new();
        let mut all = true;
        for kept in self
            .cluster
            .volumes
            .store()
            .state_filter(|kept| self.lacks_identity(kept.read()))
        {
            let server = kept.server().unwrap_or_default().to_owned();
            let state = (kept.name_any(), kept.read().version.clone());
            if silent.contains(&server) || tried.contains(&state) {
                all = false;
                continue;
            }
            match self.mark_identity(&kept).await {
                Ok(true) => {}
                Ok(false) => {
                    all = false;
                    tried.insert(state);
                }
                Err(failure) => {
                    all = false;
                    tracing::debug!(volume = state.0, %failure, "which directory a volume has was not found out");
                    if let Failure::Storage(error) = failure
                        && error.transient()
                    {
                        silent.insert(server);
                    } else {
                        tried.insert(state);
                    }
                }
            }
        }
        all
    }

    /// Marks a volume, if its directory is there. A directory on a file system that is not the one of the share's other
    /// volumes is not taken for it, nor one that is not the recorded one.
    async fn mark_identity(&self, kept: &CachedVolume) -> Result<bool, Failure> {
        let volume = kept.read();
        let Ok(record) = &volume.record else { return Ok(false) };
        let (found, share_id) = tokio::try_join!(
            self.storage.look_up(&record.share, &record.directory, Self::soon()),
            self.storage.identify(&record.share, Self::soon()),
        )?;
        let Some(found) = found else { return Ok(false) };
        let is_another = record.identity.is_some_and(|identity| identity != found.identity);
        if is_another || self.is_as_before(record, share_id) == Some(false) {
            return Ok(false);
        }
        self.may_act()?;
        let before = record.identity.map(|identity| identity.to_string());
        let operations = vec![
            patch::test_uid(volume),
            test_annotation(mark::DIRECTORY_ID, json!(before)),
            set_annotation(mark::DIRECTORY_ID, &found.identity.to_string()),
            set_annotation(mark::SHARE_ID, &share_id.to_string()),
        ];
        patch::apply(&self.api(), &volume.name, operations).await?;
        self.metrics.step("identified");
        Ok(true)
    }
}

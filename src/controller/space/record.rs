//! Records the space of the shares in a `ConfigMap`, for `bindery df`.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use tokio::time::Instant;

use crate::cluster::api_error::ApiFault;
use crate::cluster::patch::is_not_found;
use crate::controller::leader::Leader;
use crate::model::names;
use crate::model::share_space::ShareSpace;

/// The record is written after this time also if nothing has changed much.
const LONGEST_AGE: Duration = Duration::from_mins(10);
/// The most shares in the record: an object of the API may have about 1 MB.
const MAX_SHARES: usize = 4000;

/// What was written last in this term.
#[derive(Default)]
pub struct Record {
    written: Option<(Vec<ShareSpace>, Instant)>,
    has_failed: bool,
}

impl Record {
    /// Writes the record if it differs noticeably from what was written last. A failure is tried again in the next round.
    pub async fn write(&mut self, leader: &Leader, shares: &[ShareSpace]) {
        let shares = &shares[..shares.len().min(MAX_SHARES)];
        if !self.is_old(shares) || leader.may_act().is_err() {
            return;
        }
        let options = &leader.ctx.options;
        let json = serde_json::to_string(shares).unwrap_or_default();
        let record = ConfigMap {
            metadata: ObjectMeta {
                name: Some(options.shares_record.clone()),
                namespace: Some(options.own_namespace.clone()),
                labels: Some([("app.kubernetes.io/name".to_owned(), names::CONTROLLER.to_owned())].into()),
                ..ObjectMeta::default()
            },
            data: Some([(names::SHARES_KEY.to_owned(), json)].into()),
            ..ConfigMap::default()
        };
        let records: Api<ConfigMap> = Api::namespaced(leader.ctx.cluster.client.clone(), &options.own_namespace);
        match write(&records, &record).await {
            Ok(()) => {
                self.written = Some((shares.to_vec(), Instant::now()));
                self.has_failed = false;
            }
            Err(error) if !std::mem::replace(&mut self.has_failed, true) => {
                let (name, namespace) = (&options.shares_record, &options.own_namespace);
                let fault = ApiFault::from(&error);
                tracing::warn!(
                    "the space of the shares could not be recorded in ConfigMap {namespace}/{name}, so `bindery df` does \
                     not show it; Bindery retries: {fault}"
                );
            }
            Err(error) => tracing::debug!(%error, "the space of the shares could not be recorded"),
        }
    }

    fn is_old(&self, shares: &[ShareSpace]) -> bool {
        let Some((before, at)) = &self.written else { return true };
        let mut pairs = shares.iter().zip(before);
        at.elapsed() >= LONGEST_AGE
            || shares.len() != before.len()
            || pairs.any(|(now, before)| now.differs_from(before))
    }
}

/// Changes the record, or creates it if it does not exist.
async fn write(records: &Api<ConfigMap>, record: &ConfigMap) -> kube::Result<()> {
    let name = record.name_any();
    let patched = records
        .patch(&name, &PatchParams::default(), &Patch::Merge(record))
        .await;
    match patched {
        Err(error) if is_not_found(&error) => records.create(&PostParams::default(), record).await.map(drop),
        patched => patched.map(drop),
    }
}

//! Keeps `caBundle` in Bindery's own webhook configuration right.
//!
//! Trigger: the configuration appears or changes. The patch tests the webhook's name at its place in the list, so it
//! never writes into another webhook. A configuration that is missing is waited for: applying it later just works.

use std::time::Duration;

use futures::StreamExt;
use json_patch::Patch as Operations;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::json;

use crate::fence::{add, test};
use crate::ops::admin::Readiness;

/// The part of readiness that this loop reports.
pub const PART: &str = "webhook configuration";
/// The last line of a certificate.
const END: &str = "-----END CERTIFICATE-----";
const PAUSE: Duration = Duration::from_secs(1);

/// Watches the configuration and puts the CA into every webhook of it. Never ends.
///
/// A write that fails is repeated until it succeeds. Between two writes passes a second: another process, just about to
/// stop, may do the same with a CA of its own.
pub async fn keep(client: Client, name: String, ca_pem: String, readiness: Readiness) {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client);
    let ca = ByteString(ca_pem.into_bytes());
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(
        watcher(configurations.clone(), only)
            .default_backoff()
            .applied_objects()
    );
    tracing::info!(
        configuration = name,
        "waiting for the webhook configuration, to put the CA into it"
    );
    while let Some(change) = changes.next().await {
        if let Err(error) = change {
            tracing::warn!(%error, configuration = name, "the watch of the webhook configuration broke; it is taken up again");
            continue;
        }
        while let Err(error) = put(&configurations, &name, &ca).await {
            tracing::warn!(%error, configuration = name, "the CA could not be put into the webhook configuration; it is tried again");
            tokio::time::sleep(PAUSE).await;
        }
        readiness.reached(PART);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn put(configurations: &Api<MutatingWebhookConfiguration>, name: &str, ca: &ByteString) -> kube::Result<()> {
    let Some(configuration) = configurations.get_opt(name).await? else {
        return Ok(());
    };
    let webhooks = configuration.webhooks.iter().flatten().enumerate();
    let operations: Vec<_> = webhooks
        .filter_map(|(index, webhook)| {
            let bundle = bundle(ca, webhook.client_config.ca_bundle.as_ref())?;
            Some([
                test(&format!("/webhooks/{index}/name"), json!(webhook.name)),
                add(&format!("/webhooks/{index}/clientConfig/caBundle"), json!(bundle)),
            ])
        })
        .flatten()
        .collect();
    if operations.is_empty() {
        return Ok(());
    }
    let patch = Patch::Json::<()>(Operations(operations));
    configurations.patch(name, &PatchParams::default(), &patch).await?;
    tracing::info!(configuration = name, "the webhook configuration has the CA");
    Ok(())
}

/// What the API server should trust: our CA, and the one that was there before, for replicas that have not heard of ours
/// yet. Nothing if ours is there. Two replicas with different CAs, since somebody has deleted the Secret between their
/// starts, so agree at once.
fn bundle(ca: &ByteString, before: Option<&ByteString>) -> Option<ByteString> {
    let text = |bytes: &ByteString| String::from_utf8_lossy(&bytes.0).trim().to_owned();
    let (ours, before) = (text(ca), before.map(text).unwrap_or_default());
    if before.contains(&ours) {
        return None;
    }
    let first = before
        .split_inclusive(END)
        .next()
        .filter(|first| first.contains(END))
        .unwrap_or_default();
    Some(ByteString(
        format!("{ours}\n{}\n", first.trim()).trim_end().to_owned().into_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(name: &str) -> ByteString {
        ByteString(format!("-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n").into_bytes())
    }

    #[test]
    fn the_ca_before_ours_is_trusted_still_and_none_before_that() {
        let one = bundle(&pem("one"), None).unwrap();
        assert_eq!(bundle(&pem("one"), Some(&one)), None, "ours is there");
        let two = bundle(&pem("two"), Some(&one)).unwrap();
        assert_eq!(bundle(&pem("one"), Some(&two)), None, "two replicas do not fight");
        let three = String::from_utf8(bundle(&pem("three"), Some(&two)).unwrap().0).unwrap();
        assert!(
            three.contains("three") && three.contains("two") && !three.contains("one"),
            "{three}"
        );
    }

    #[test]
    fn what_is_no_certificate_is_replaced() {
        assert_eq!(
            bundle(&pem("one"), Some(&ByteString(b"\n".to_vec()))),
            bundle(&pem("one"), None)
        );
    }
}

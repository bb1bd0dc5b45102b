//! The space of shares, volumes and archives: what is measured, where it is recorded, and which claims it refuses.

/// The command `bindery df`.
mod df;
/// The class parameters `freeSpace` and `sizeLimit`.
mod limits;
/// The free space of shares.
mod shares;
/// The space that volumes and archives use.
mod usage;

use bindery::model::usage::Usage;
use k8s_openapi::api::core::v1::PersistentVolume;

use crate::support::bindery::Bindery;
use crate::support::scene::{Scene, annotation, volume_name};
use crate::support::wait::eventually;

/// Waits until a volume has a measurement for which this is true, and returns it.
async fn until_measured(scene: &Scene, volume: &PersistentVolume, is_it: impl Fn(&Usage) -> bool) -> Usage {
    let name = volume_name(volume);
    eventually(&format!("volume {name} is measured"), async || {
        let volume = scene.volumes().get(name).await.ok()?;
        let usage: Usage = annotation(&volume, "usage")?.parse().expect("a measurement");
        is_it(&usage).then_some(usage)
    })
    .await
}

/// Waits until the metrics have a line that begins so, and returns its value.
async fn until_metric(bindery: &Bindery, line: &str) -> u64 {
    eventually(&format!("the metric {line}"), async || {
        let text = bindery.metrics().await;
        let value = text.lines().find_map(|found| found.strip_prefix(line))?;
        Some(value.trim().parse().expect("a number"))
    })
    .await
}

/// Waits until no line of the metrics contains this text.
async fn until_no_metric(bindery: &Bindery, text: &str) {
    eventually(&format!("no metric has {text}"), async || {
        (!bindery.metrics().await.contains(text)).then_some(())
    })
    .await;
}

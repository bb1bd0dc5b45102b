//! Sets the metrics of volumes and archives, from what is recorded on their objects.

use super::targets::is_in_use;
use crate::controller::leader::Leader;
use crate::ops::space_metrics::{Archives, VolumeSpace, Volumes};

/// Sets the metrics to the volumes in use and the archives of this installation.
pub fn report(leader: &Leader) {
    let ctx = &leader.ctx;
    let mut volumes = Volumes::new();
    for cached in ctx.cluster.volumes.store().state() {
        let volume = cached.read();
        let Some(claim) = volume.claim.as_ref().filter(|_| is_in_use(ctx, volume)) else {
            continue;
        };
        let labels = [claim.namespace.clone(), claim.name.clone(), volume.class.clone()];
        let capacity = volume.capacity.as_ref();
        let space = VolumeSpace {
            capacity: capacity.map(|capacity| u64::try_from(capacity.bytes).unwrap_or(u64::MAX)),
            usage: volume.usage,
        };
        volumes.insert(labels, space);
    }
    ctx.metrics.space.set_volumes(volumes);

    let mut archives = Archives::new();
    for archive in leader.archives.all().unwrap_or_default() {
        let Some(usage) = archive.usage.filter(|_| archive.maker == *ctx.installation) else {
            continue;
        };
        let namespace = archive.claim_namespace.clone().unwrap_or_default();
        let class = archive.class.clone().unwrap_or_default();
        let sum = archives.entry([namespace, class]).or_default();
        sum.bytes = sum.bytes.saturating_add(usage.bytes);
        sum.files = sum.files.saturating_add(usage.files);
    }
    ctx.metrics.space.set_archives(archives);
}

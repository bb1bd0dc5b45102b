//! Metrics of space: shares, volumes and archives. Only the replica with the Lease has them.
//!
//! A cluster may have ten thousand volumes, with six metrics each. So the lines are not stored: they are written from one
//! list of volumes when somebody reads the metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::model::share_space::ShareSpace;
use crate::model::usage::Usage;

/// The space of a volume in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeSpace {
    /// The size that its claim has requested.
    pub capacity: Option<u64>,
    /// What was measured last.
    pub usage: Option<Usage>,
}

/// The sum of the archives of one namespace and class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ArchiveSpace {
    /// The bytes that they use.
    pub bytes: u64,
    /// The number of their files.
    pub files: u64,
}

/// Volumes in use, by namespace, claim and class.
pub type Volumes = BTreeMap<[String; 3], VolumeSpace>;
/// Sums of archives, by namespace and class.
pub type Archives = BTreeMap<[String; 2], ArchiveSpace>;

/// All metrics of space. Clones share the same values.
#[derive(Clone, Debug, Default)]
pub struct SpaceMetrics(Arc<RwLock<Values>>);

#[derive(Debug, Default)]
struct Values {
    shares: Vec<ShareSpace>,
    volumes: Volumes,
    archives: Archives,
}

impl SpaceMetrics {
    /// Creates the metrics and registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_collector(Box::new(metrics.clone()));
        metrics
    }

    /// Sets the space of all shares. A share whose server does not tell it has no lines.
    pub fn set_shares(&self, shares: Vec<ShareSpace>) {
        self.0.write().shares = shares;
    }

    /// Sets the space of all volumes in use.
    pub fn set_volumes(&self, volumes: Volumes) {
        self.0.write().volumes = volumes;
    }

    /// Sets the sums of all measured archives.
    pub fn set_archives(&self, archives: Archives) {
        self.0.write().archives = archives;
    }
}

/// The labels of a volume.
const VOLUME: [&str; 3] = ["namespace", "persistentvolumeclaim", "storageclass"];
/// The labels of archives.
const ARCHIVES: [&str; 2] = ["namespace", "storageclass"];

impl Collector for SpaceMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let values = self.0.read();
        values.encode_shares(&mut encoder)?;
        values.encode_volumes(&mut encoder)?;
        values.encode_archives(&mut encoder)
    }
}

impl Values {
    fn encode_shares(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut share = |name, help, value: fn(&ShareSpace) -> Option<u64>| {
            let lines = self.shares.iter().filter_map(|share| {
                let labels = [("server", &*share.server), ("share", &*share.share)];
                Some((labels, value(share)?))
            });
            gauge(encoder, name, help, lines)
        };
        share("share_size_bytes", "Size of a share in use.", |share| share.size)?;
        share(
            "share_available_bytes",
            "Free space of a share in use, for users other than root of the server.",
            |share| share.available,
        )?;
        share(
            "share_files",
            "Number of files that a share in use can have.",
            |share| share.files,
        )?;
        share(
            "share_available_files",
            "Number of files that can still be created in a share in use.",
            |share| share.available_files,
        )
    }

    fn encode_volumes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut volume = |name, help, value: fn(&VolumeSpace) -> Option<u64>| {
            let lines = self.volumes.iter();
            let lines = lines.filter_map(|(labels, volume)| Some((labelled(VOLUME, labels), value(volume)?)));
            gauge(encoder, name, help, lines)
        };
        volume(
            "volume_used_bytes",
            "Space that the files of a volume use on the disk, as last measured.",
            |volume| Some(volume.usage?.bytes),
        )?;
        volume(
            "volume_files",
            "Files, directories and links of a volume, as last measured.",
            |volume| Some(volume.usage?.files),
        )?;
        volume(
            "volume_capacity_bytes",
            "Size of a volume, as its claim has requested it.",
            |volume| volume.capacity,
        )?;
        volume(
            "volume_limit_bytes",
            "Limit of the size of a volume's directory on the server, if it has one of its own.",
            |volume| volume.usage?.limit,
        )?;
        volume(
            "volume_unread_directories",
            "Directories of a volume that Bindery could not read, so that their files are not counted.",
            |volume| Some(volume.usage?.unread),
        )?;
        volume(
            "volume_measured_timestamp_seconds",
            "When a volume was measured last, in seconds since 1970.",
            |volume| u64::try_from(volume.usage?.measured.as_second()).ok(),
        )
    }

    fn encode_archives(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut archive = |name, help, value: fn(&ArchiveSpace) -> u64| {
            let lines = self.archives.iter();
            let lines = lines.map(|(labels, sum)| (labelled(ARCHIVES, labels), value(sum)));
            gauge(encoder, name, help, lines)
        };
        archive(
            "archive_used_bytes",
            "Space that measured archives use on the disk, by the namespace and the class of their claims.",
            |sum| sum.bytes,
        )?;
        archive(
            "archive_files",
            "Files, directories and links of measured archives, by the namespace and the class of their claims.",
            |sum| sum.files,
        )
    }
}

fn labelled<'a, const N: usize>(names: [&'static str; N], values: &'a [String; N]) -> [(&'static str, &'a str); N] {
    std::array::from_fn(|at| (names[at], &*values[at]))
}

/// Writes a metric with these lines. Without lines it does not exist.
fn gauge<'a, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    lines: impl Iterator<Item = ([(&'static str, &'a str); N], u64)>,
) -> fmt::Result {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return Ok(());
    }
    let mut metric: MetricEncoder<'_> = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in lines {
        let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
        value.encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::metrics::Metrics;

    fn lines(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let lines = text.lines().filter(|line| line.contains("bindery_volume_files"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_volume_has_lines_only_while_it_is_in_use() {
        let metrics = Metrics::default();
        assert_eq!(lines(&metrics), Vec::<String>::new());
        let labels = ["team-a", "data", "fast"].map(str::to_owned);
        let usage = Usage {
            bytes: 4096,
            files: 7,
            unread: 0,
            limit: None,
            measured: jiff::Timestamp::UNIX_EPOCH,
        };
        let volume = VolumeSpace {
            capacity: None,
            usage: Some(usage),
        };
        metrics.space.set_volumes([(labels, volume)].into());
        assert_eq!(
            lines(&metrics),
            [
                "# HELP bindery_volume_files Files, directories and links of a volume, as last measured.",
                "# TYPE bindery_volume_files gauge",
                "bindery_volume_files{namespace=\"team-a\",persistentvolumeclaim=\"data\",storageclass=\"fast\"} 7",
            ]
        );
        assert!(!metrics.text().contains("bindery_volume_limit_bytes"));
        metrics.space.set_volumes(Volumes::new());
        assert_eq!(lines(&metrics), Vec::<String>::new());
    }
}

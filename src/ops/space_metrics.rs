//! Metrics of space: shares, volumes and archives. Only the replica with the Lease has them.

use std::collections::{HashMap, HashSet};

use parking_lot::Mutex;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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

/// The lines of one metric. They are replaced together.
#[derive(Debug)]
struct Series<const N: usize> {
    names: [&'static str; N],
    family: Family<[(&'static str, String); N], Gauge>,
    shown: Mutex<HashSet<[String; N]>>,
}

impl<const N: usize> Series<N> {
    fn new(registry: &mut Registry, names: [&'static str; N], name: &str, help: &str) -> Self {
        let family = Family::default();
        registry.register(name, help, family.clone());
        Self {
            names,
            family,
            shown: Mutex::default(),
        }
    }

    /// Sets all lines. A line that was shown before and is not among them is removed.
    fn set<'a>(&self, lines: impl Iterator<Item = (&'a [String; N], u64)>) {
        let label = |values: &[String; N]| std::array::from_fn(|at| (self.names[at], values[at].clone()));
        let mut shown = self.shown.lock();
        let mut before = std::mem::take(&mut *shown);
        for (values, value) in lines {
            let gauge = self.family.get_or_create(&label(values));
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            before.remove(values);
            shown.insert(values.clone());
        }
        for gone in &before {
            self.family.remove(&label(gone));
        }
    }
}

/// The labels of a volume.
const VOLUME: [&str; 3] = ["namespace", "persistentvolumeclaim", "storageclass"];
/// The labels of archives.
const ARCHIVES: [&str; 2] = ["namespace", "storageclass"];
/// The labels of a share.
const SHARE: [&str; 2] = ["server", "share"];

/// All metrics of space.
#[derive(Debug)]
pub struct SpaceMetrics {
    share_size: Series<2>,
    share_available: Series<2>,
    share_files: Series<2>,
    share_available_files: Series<2>,
    volume_used: Series<3>,
    volume_files: Series<3>,
    volume_capacity: Series<3>,
    volume_limit: Series<3>,
    volume_unread: Series<3>,
    volume_measured: Series<3>,
    archive_used: Series<2>,
    archive_files: Series<2>,
}

impl SpaceMetrics {
    /// Creates the metrics and registers them.
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            share_size: Series::new(registry, SHARE, "share_size_bytes", "Size of a share in use"),
            share_available: Series::new(
                registry,
                SHARE,
                "share_available_bytes",
                "Free space of a share in use, for users other than root of the server",
            ),
            share_files: Series::new(
                registry,
                SHARE,
                "share_files",
                "Number of files that a share in use can have",
            ),
            share_available_files: Series::new(
                registry,
                SHARE,
                "share_available_files",
                "Number of files that can still be created in a share in use",
            ),
            volume_used: Series::new(
                registry,
                VOLUME,
                "volume_used_bytes",
                "Space that the files of a volume use on the disk, as last measured",
            ),
            volume_files: Series::new(
                registry,
                VOLUME,
                "volume_files",
                "Files, directories and links of a volume, as last measured",
            ),
            volume_capacity: Series::new(
                registry,
                VOLUME,
                "volume_capacity_bytes",
                "Size of a volume, as its claim has requested it",
            ),
            volume_limit: Series::new(
                registry,
                VOLUME,
                "volume_limit_bytes",
                "Limit of the size of a volume's directory on the server, if it has one of its own",
            ),
            volume_unread: Series::new(
                registry,
                VOLUME,
                "volume_unread_directories",
                "Directories of a volume that Bindery could not read, so that their files are not counted",
            ),
            volume_measured: Series::new(
                registry,
                VOLUME,
                "volume_measured_timestamp_seconds",
                "When a volume was measured last, in seconds since 1970",
            ),
            archive_used: Series::new(
                registry,
                ARCHIVES,
                "archive_used_bytes",
                "Space that measured archives use on the disk, by the namespace and the class of their claims",
            ),
            archive_files: Series::new(
                registry,
                ARCHIVES,
                "archive_files",
                "Files, directories and links of measured archives, by the namespace and the class of their claims",
            ),
        }
    }

    /// Sets the space of all shares. A share whose server does not tell it has no lines.
    pub fn set_shares(&self, shares: &[ShareSpace]) {
        let labels: Vec<_> = shares
            .iter()
            .map(|share| [share.server.clone(), share.share.clone()])
            .collect();
        let set = |series: &Series<2>, value: fn(&ShareSpace) -> Option<u64>| {
            let lines = labels.iter().zip(shares);
            series.set(lines.filter_map(|(labels, share)| Some((labels, value(share)?))));
        };
        set(&self.share_size, |share| share.size);
        set(&self.share_available, |share| share.available);
        set(&self.share_files, |share| share.files);
        set(&self.share_available_files, |share| share.available_files);
    }

    /// Sets the space of all volumes in use: by namespace, claim and class.
    pub fn set_volumes(&self, volumes: &HashMap<[String; 3], VolumeSpace>) {
        let set = |series: &Series<3>, value: fn(&VolumeSpace) -> Option<u64>| {
            series.set(
                volumes
                    .iter()
                    .filter_map(|(labels, volume)| Some((labels, value(volume)?))),
            );
        };
        set(&self.volume_capacity, |volume| volume.capacity);
        set(&self.volume_used, |volume| Some(volume.usage?.bytes));
        set(&self.volume_files, |volume| Some(volume.usage?.files));
        set(&self.volume_unread, |volume| Some(volume.usage?.unread));
        set(&self.volume_limit, |volume| volume.usage?.limit);
        set(&self.volume_measured, |volume| {
            u64::try_from(volume.usage?.measured.as_second()).ok()
        });
    }

    /// Sets the sums of all measured archives: by namespace and class.
    pub fn set_archives(&self, archives: &HashMap<[String; 2], ArchiveSpace>) {
        self.archive_used
            .set(archives.iter().map(|(labels, sum)| (labels, sum.bytes)));
        self.archive_files
            .set(archives.iter().map(|(labels, sum)| (labels, sum.files)));
    }
}

//! Integration tests: Bindery with a real Kubernetes control plane and real NFS servers, which `make test` starts.

mod support;

/// Creating a claim: what is admitted, what is refused, and what is created.
mod admission;
/// The class parameters `provision: afterCreate` and `volumeLabels`.
mod after_create;
/// Archives as objects of the API.
mod archives;
/// What a client other than the API server can do at the webhook's port.
mod attacks;
/// Claims and volumes that a backup tool restores.
mod backup_restore;
/// Classes of csi-driver-nfs and of Bindery beside each other.
mod beside_driver;
/// Binding of a claim to its volume.
mod binder;
/// Claims that got no volume from the webhook, and volumes without a claim.
mod catch_up;
/// Claims on `CephFS`, which nodes mount natively.
mod ceph_claims;
mod ceph_faults;
/// The webhook's certificate and its secret path.
mod certificate;
/// The Helm chart and the kustomizations: install, upgrade, uninstall.
mod chart;
/// The command `bindery check --server`.
mod check_server;
/// Deleting a claim: delete, archive, retain.
mod cleanup;
/// The page of `kubectl bindery console`, in a browser.
mod console;
/// A crash at each crash point. Needs the feature `failpoints`, which `make test` sets.
#[cfg(feature = "failpoints")]
mod crash_points;
/// Expansion of volumes that a CSI driver mounts, beside csi-resizer.
mod csi_resizer;
/// Volumes that a CSI driver mounts.
mod csi_volumes;
/// Volumes of csi-driver-nfs that Bindery takes over.
mod driver_takeover;
/// The example classes in `deploy/examples`.
mod examples;
/// Claims for which a volume exists, claims with a selector, and claims with a data source that nobody provides.
mod existing_volumes;
/// Claims whose requested size is raised after they were created.
mod expansion;
/// The command `bindery explain`.
mod explain;
/// Claims that a GitOps tool manages.
mod gitops;
/// Classes that give each volume a group of its own.
mod groups;
/// An NFS server whose disk hangs.
mod hung_disk;
/// How a volume recognises its directory and its file system.
mod identity;
/// NFS servers with an IPv6 address.
mod ipv6;
/// Volumes mounted with the NFS client of the Linux kernel.
mod kernel_client;
/// Replicas whose watches are behind.
mod late_watches;
/// Directory templates, existing directories, and one volume per directory.
mod layouts;
/// Classes and volumes of nfs-subdir-external-provisioner.
mod legacy;
/// Listen addresses, and the probes while the API server is down.
mod listening;
/// Objects with the longest names that Kubernetes allows.
mod long_names;
/// Directories of claims in use that do not exist any more.
mod lost_directories;
/// The match condition of the webhook, which decides which claims the API server sends to Bindery.
mod match_conditions;
/// Metrics, as Prometheus reads them.
mod metrics;
/// Alerts and the dashboard, on a real Prometheus.
mod monitoring;
/// Shares that are mounted into the pod of Bindery.
mod mounted;
/// The NFS client, with NFS servers that die, hang and refuse.
mod nfs_client;
/// Directories on another file system than their share.
mod other_file_system;
/// Other webhooks that change claims.
mod other_webhooks;
/// Directories that contain other directories of volumes.
mod overlaps;
/// The plugin of kubectl.
mod plugin;
/// Claims that a volume populator fills.
mod populators;
/// Start, stop and crash of the process.
mod process;
/// Several replicas.
mod replicas;
/// Claims that get the directory of an archive.
mod restore;
/// `retain` set while a directory is being removed.
#[cfg(feature = "failpoints")]
mod retain_during_cleanup;
/// How long archives are kept.
mod retention;
/// The recorded admission reviews are what the API server sends.
mod reviews;
/// One NFS server with several addresses.
mod server_aliases;
/// Faults of a disk and of its export.
mod server_faults;
/// NFS servers that do not answer.
mod server_outages;
/// Several volumes with the same directory.
mod shared_directories;
/// Names that NFS servers reserve for snapshots and deleted files.
mod snapshots;
/// The space of shares, volumes and archives.
mod space;
/// NFS calls of a paused leader that arrive late.
mod stale_leader;
/// Statically provisioned volumes.
mod static_volumes;
/// Removal of large trees while something fails.
mod tree_removal;
/// Two installations that share an export.
mod two_installations;
/// Claims that Bindery does not manage.
mod unmanaged_claims;
/// The volume that a claim gets.
mod volumes;
/// HTTP requests to the webhook.
mod webhook_http;
/// Claims that the selectors of the webhook configuration exempt.
mod webhook_selectors;
/// Requests without the webhook's secret path.
mod wrong_path;

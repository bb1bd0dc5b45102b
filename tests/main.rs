//! Bindery on real parts: a Kubernetes control plane and NFS servers, as `make test` starts them.

mod support;

/// The claim's way in: what passes, what is refused, what is made.
mod admission;
/// Classes whose volumes are made after the claim, and labels of volumes.
mod after_create;
/// What others than the API server can do at the webhook's port.
mod attacks;
/// Objects that a backup tool creates again.
mod backup_restore;
/// A claim and its volume come together.
mod binder;
/// Claims that the webhook did not serve, and volumes that no claim has.
mod catch_up;
/// The webhook's certificate and its path.
mod certificate;
/// The Helm chart and the kustomizations, and how one leaves again.
mod chart;
/// The claim's way out: delete, archive, retain.
mod cleanup;
/// A crash between any two effects. Wants the feature `failpoints`, which `make test` sets.
#[cfg(feature = "failpoints")]
mod crash_points;
/// The classes that we show people.
mod examples;
/// Why a claim gets what it gets.
mod explain;
/// An NFS server whose disk hangs.
mod hung_disk;
/// Which directory and which file system a volume is on.
mod identity;
/// NFS servers with an IPv6 address.
mod ipv6;
/// Linux's own NFS client mounts what a volume names.
mod kernel_client;
/// Layouts of their own: templates, directories that are there already, one directory one volume.
mod layouts;
/// The name, the classes and the volumes of nfs-subdir-external-provisioner.
mod legacy;
/// Where the process listens, and its probes while the API server is away.
mod listening;
/// Objects with the longest names that Kubernetes takes.
mod long_names;
/// Which claims the API server asks about.
mod match_conditions;
/// A share that is mounted for Bindery.
mod mounted;
/// The NFS client against a server of its own that dies, hangs and refuses.
mod nfs_client;
/// Directories on another file system than their share.
mod other_file_system;
/// Others that change claims, too.
mod other_webhooks;
/// Directories above and in one another.
mod overlaps;
/// Start, stop, crash.
mod process;
/// More than one process.
mod replicas;
/// A directory that is to be kept when it is on its way out.
#[cfg(feature = "failpoints")]
mod retain_during_cleanup;
/// How long archives are kept.
mod retention;
/// Admission reviews as the API server really sends them.
mod reviews;
/// One server under several names.
mod server_aliases;
/// A server that hangs or is away, beside others.
mod server_outages;
/// Several volumes of one directory that are deleted at the same time.
mod shared_directories;
/// Names under which servers show snapshots are no volume's.
mod snapshots;
/// Steps of a replica that was paused.
mod stale_leader;
/// Volumes that people made by hand.
mod static_volumes;
/// Trees that are removed while something goes wrong.
mod tree_removal;
/// Two installations on one export.
mod two_installations;
/// Claims that are not for us.
mod unmanaged_claims;
/// The volume that a claim gets.
mod volumes;
/// The webhook's HTTP edge.
mod webhook_http;
/// Claims that the webhook configuration exempts.
mod webhook_selectors;
/// Requests that do not name the webhook's secret path.
mod wrong_path;

//! Pods on a real node: a kubelet, a container runtime and the NFS client of the Linux kernel, in a virtual machine.
//!
//! This is a separate binary: `make test-node` starts the virtual machine and a cluster with that node only. The tests run
//! one after the other, since they stop the kubelet and pause the node.

// The tests of this binary use a part of it.
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod support;

/// Volumes that a CSI driver mounts.
mod csi;
/// Bindery, an NFS server or the kubelet ends while a pod runs.
mod deaths;
/// A claim, a pod or a namespace is deleted while pods run.
mod deletion;
/// Users, groups and files in a volume.
mod files;
/// Mounts: options, paths inside a volume, statistics.
mod mounts;
/// The virtual machine and its pods.
mod node;
/// A StatefulSet whose number of replicas changes.
mod stateful_set;
/// A pod that writes one number after the other.
mod writer;

//! Faults of a Linux server, and what Bindery's NFS client makes of them.
//!
//! Each test begins with [`client::reset`]: the virtual machine may still run from an earlier test.

mod client;
/// Exports that are withdrawn, given back, or made anew.
mod exports;
/// File systems: `fsid=`, disks that are not mounted, btrfs subvolumes, exports that are replaced.
mod file_systems;
/// A server that is paused, restarts, or loses its power; and a client that is idle.
mod outages;
/// A pod at work in a directory while Bindery archives and deletes it.
mod pods;
/// Disks that are full, over quota or read-only.
mod space;
/// The text of refusals.
mod words;

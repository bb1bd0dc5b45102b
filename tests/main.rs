//! Bindery on real parts: a Kubernetes control plane and NFS servers, as `make test` starts them.

mod support;

/// The claim's way in: what passes, what is refused, what is made.
mod admission;
/// The claim's way out: delete, archive, retain.
mod cleanup;
/// The classes that we show people.
mod examples;
/// Linux's own NFS client mounts what a volume names.
mod kernel_client;
/// Layouts of their own: templates, directories that are there already, one directory one volume.
mod layouts;
/// A share that is mounted for Bindery.
mod mounted;
/// The NFS client against a server of its own that dies, hangs and refuses.
mod nfs_client;
/// Start, stop, crash.
mod process;
/// Admission reviews as the API server really sends them.
mod reviews;
/// The volume that a claim gets.
mod volumes;
/// The webhook's HTTP edge.
mod webhook_http;

//! One binary for all integration tests.

mod support;

/// The NFS client against a real server.
mod nfs_client;

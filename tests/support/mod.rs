//! Support for the integration tests: real processes and objects, each behind a small type.

pub mod api_relay;
pub mod archives;
pub mod audit;
pub mod bed;
pub mod bindery;
pub mod bindfs;
pub mod browser;
pub mod caller;
pub mod ceph;
pub mod ceph_faults;
pub mod csi;
pub mod directories;
pub mod disk;
pub mod embedded;
pub mod ipv6;
pub mod kind;
pub mod knfsd;
pub mod mount;
mod namespace;
pub mod network;
pub mod nfs;
pub mod other_webhook;
pub mod plugin;
pub mod relay;
pub mod scene;
pub mod signals;
pub mod wait;

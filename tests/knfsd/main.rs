//! Bindery's NFS client with the NFS server of the Linux kernel: behaviour that only this server has.
//!
//! This is a separate binary: `make test-knfsd` starts a virtual machine for it. The tests run one after the other,
//! since they restart the server.

mod faults;
mod grace;
mod support;
#[path = "../support/wait.rs"]
#[allow(dead_code)]
mod wait;

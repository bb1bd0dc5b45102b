//! Bindery: a Kubernetes NFS provisioner that makes a claim's volume inside the request that creates the claim.

pub mod certificate;
pub mod check;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod connect;
pub mod controller;
pub mod crash;
pub mod explain;
pub mod fence;
pub mod names;
pub mod ops;
pub mod os_error;
pub mod policy;
pub mod provision;
pub mod serve;
pub mod storage;
pub mod uninstall;
pub mod volume;
pub mod webhook;

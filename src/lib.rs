//! Bindery: a Kubernetes NFS provisioner that makes a claim's volume inside the request that creates the claim.

pub mod breaker;
pub mod certificate;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod controller;
pub mod failpoints;
pub mod model;
pub mod ops;
pub mod policy;
pub mod provision;
pub mod registration;
pub mod storage;
pub mod webhook;

//! Bindery is a Kubernetes provisioner for NFS. It gives every PersistentVolumeClaim its own directory on an NFS
//! server, inside the request that creates the claim.
//!
//! # Creating a claim
//!
//! ```text
//! API server ── admission review ──> webhook (every replica)
//!                                      1. decide: pass, refuse, or provision        policy::decide
//!                                      2. create the PersistentVolume               provision
//!                                      3. create the directory on the NFS server    provision, storage
//!                                      4. answer: spec.volumeName
//! API server ── watch ─────────────> controller (the replica with the Lease)
//!                                      5. create the directory if it is missing     controller::volumes
//!                                      6. write the claim's uid into the volume     controller::volumes
//!                                    Kubernetes binds both.
//! ```
//!
//! The volume is the record of the intent: it is created before its directory. If the process dies after any step, the
//! controller finds the volume and finishes or undoes the work. A claim that the webhook did not serve gets its volume
//! from the controller, by the same decision and the same effects ([`provision`]).
//!
//! # Deleting a claim
//!
//! ```text
//! API server ── watch: Released ───> controller
//!                                      1. plan the next step                        policy::reconcile
//!                                      2. write on the volume where the directory goes
//!                                      3. rename it aside, only if it is the right directory
//!                                      4. read the volume again, rename to an archive or to the trash
//!                                      5. remove the finalizer: the volume is gone
//!                                      6. later: remove the files in the trash
//! ```
//!
//! Everything that Bindery needs after a restart is in the API or in names on the share. A Lease does not stop a
//! replica that was paused, so destructive writes have preconditions: the uid and the version of a volume, or values in
//! it, and the identity of a directory. NFSv3 and mounts cannot check the identity and rename in one request. There,
//! Bindery checks after the rename and moves a wrong directory back. A directory in the trash is removed only if its
//! volume does not exist any more.
//!
//! # Modules
//!
//! [`model`] has the types that all parts use. [`policy`] decides: pure functions from objects to values. [`storage`]
//! and [`cluster`] are the clients of NFS servers and of the API server. [`provision`] carries out a decision.
//! [`webhook`] and [`controller`] use `policy` and `provision`; neither imports the other. [`commands`] starts the
//! parts. docs/architecture.md lists what each folder may import, and `cargo test --test architecture` checks it.

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

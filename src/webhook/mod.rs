//! The HTTP edge: admission reviews in, answers out.
//!
//! [`server`] speaks TLS and HTTP, [`tls`] makes the certificate, [`review`] is the shape of a review, and [`handler`]
//! joins cluster, policy and effects into an answer.

pub mod handler;
pub mod review;
pub mod server;
pub mod tls;

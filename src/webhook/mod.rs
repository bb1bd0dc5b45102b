//! The HTTP edge: admission reviews in, answers out.
//!
//! [`door`] lets connections in, [`server`] speaks TLS and HTTP with them, [`review`] is the shape of a review, and
//! [`handler`] joins cluster, policy and effects into an answer.

mod body;
mod connections;
pub mod handler;
pub mod review;
pub mod server;

//! `bindery check`: checks the way of a claim from the API server to Bindery ([`classes`]), or an NFS server ([`server`]).

mod classes;
mod server;

use anyhow::Result;

use crate::cli;
use crate::config::ServerToCheck;

/// Runs `bindery check`. Returns whether nothing is missing.
pub async fn check(flags: cli::Check) -> Result<bool> {
    match ServerToCheck::check(&flags.server)? {
        Some(checked) => server::check(checked, flags.server).await,
        None => classes::check(flags).await,
    }
}

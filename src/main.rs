//! The program: reads the command line and runs what it says.

use std::process::ExitCode;

use bindery::{check, cli, explain, serve, uninstall};
use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    // kube and the webhook both use it; which one is decided here, once.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    match cli::Cli::parse().command {
        cli::Command::Serve(flags) => serve::serve(*flags).await.map(|()| ExitCode::SUCCESS),
        cli::Command::Explain(flags) => Ok(explain::explain(flags).await),
        cli::Command::Check(flags) => Ok(check::check(flags).await),
        cli::Command::Uninstall(flags) => Ok(uninstall::uninstall(flags).await),
    }
}

//! The program: reads the command line and runs what it says.

use bindery::{cli, serve};
use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // kube and the webhook both use it; which one is decided here, once.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    match cli::Cli::parse().command {
        cli::Command::Serve(flags) => serve::serve(flags).await,
    }
}

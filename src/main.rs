//! The program: reads the command line and runs what it says.

use std::process::ExitCode;
use std::thread::available_parallelism;

use bindery::cli;
use bindery::cluster::api_error::describe;
use bindery::commands::{check, explain, serve, uninstall};
use clap::Parser;

/// Threads that do the work. It is waiting for the most part; on a node of a hundred processors as many threads would only
/// need memory, each for an allocator of its own.
const THREADS: usize = 4;

fn main() -> anyhow::Result<ExitCode> {
    let processors = available_parallelism().map_or(THREADS, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(THREADS))
        .enable_all()
        .build()?
        .block_on(run())
}

async fn run() -> anyhow::Result<ExitCode> {
    // kube and the webhook both use it; which one is decided here, once.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another TLS provider was installed first"))?;
    match cli::Cli::parse().command {
        cli::Command::Serve(flags) => Ok(match serve::serve(*flags).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("bindery serve: {}", describe(&error));
                ExitCode::FAILURE
            }
        }),
        cli::Command::Explain(flags) => Ok(explain::explain(flags).await),
        cli::Command::Check(flags) => Ok(check::check(flags).await),
        cli::Command::Uninstall(flags) => Ok(uninstall::uninstall(flags).await),
    }
}

//! `bindery console`: serves a page for a browser, with what the user of the kubeconfig may read.
//!
//! [`read`] reads the objects, [`view`] makes of them what the page shows, [`guard`] refuses requests of others, and
//! `page.html` is the page. Nothing is written to the cluster.

mod facts;
mod guard;
mod objects;
mod read;
mod rows;
mod server;
mod servers;
mod shares;
mod view;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use self::guard::Guard;
use self::read::Reader;
use crate::cli;
use crate::cluster::client;
use crate::commands::connect::access;
use crate::ops::tasks::shutdown_signal;

/// Runs `bindery console`, until it is interrupted. Returns `true`.
pub async fn console(flags: cli::Console) -> Result<bool> {
    let cli::Console {
        namespace,
        port,
        no_browser,
        bindery_namespace,
        provisioner_name,
        cluster,
    } = flags;
    let access = access(cluster);
    let place = access.config().await?.cluster_url.to_string();
    let client = client::connect(&access).await?;
    // The page shows later errors. An address that is wrong from the beginning is reported here.
    let version = client
        .apiserver_version()
        .await
        .context("the cluster could not be reached")?;
    let reader = Reader {
        default_namespace: client.default_namespace().to_owned(),
        client,
        namespace,
        bindery_namespace,
        provisioner: provisioner_name,
        cluster: format!("{} (Kubernetes {})", place.trim_end_matches('/'), version.git_version),
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("port {port} of 127.0.0.1 cannot be used; choose another one with --port, or 0"))?;
    let guard = Guard::new(
        listener
            .local_addr()
            .context("the port of the page is not known")?
            .port(),
    );
    let url = guard.url();
    say(&format!("The page is at {url}"));
    say(
        "The address contains a secret: whoever on this machine knows it sees what you may read. Ctrl-C ends the page.",
    );
    if !no_browser {
        open(&url);
    }
    // Nothing is in progress that must be finished.
    tokio::select! {
        served = axum::serve(listener, server::routes(guard, reader)).into_future() => {
            served.context("the page could not be served")?;
        }
        _ = shutdown_signal() => {}
    }
    Ok(true)
}

/// Prints a line. The page is served also if nobody reads it.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Opens the page in the browser of the user, if there is one.
fn open(url: &str) {
    let null = || Stdio::null();
    let started = Command::new("xdg-open")
        .arg(url)
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .spawn();
    if started.is_err() {
        say("There is no program xdg-open, so open the address in a browser yourself.");
    }
}

//! Creation of claims while another client holds connections to the webhook open.
//!
//! Claims are created one at a time, in alternating rounds: without an attack, and while a client keeps 500 connections
//! open, sends one byte per second on each, and reconnects whenever one is closed (a slow loris attack).

use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::bed::Bed;
use crate::place::Place;
use crate::table::{Expected, Table, Unit};
use crate::times::Times;

const CONNECTIONS: usize = 500;
/// Claims in a round. There are three rounds of each kind.
const CLAIMS: u32 = 60;
const BYTE_INTERVAL: Duration = Duration::from_secs(1);
/// The time to open all connections.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// Measures both kinds.
pub async fn measure(client: &Client, table: &mut Table) -> Result<()> {
    let place = Place::new(client, "attack").await?;
    let class = place.class("ours", &Bed::get().provisioner, json!({})).await?;
    create(&place, "warm-up", 20, &class).await?;
    let (mut quiet, mut attacked) = (Vec::new(), Vec::new());
    for round in 0..3 {
        quiet.extend(create(&place, &format!("quiet-{round}"), CLAIMS, &class).await?);
        let connections = open_connections().await?;
        attacked.extend(create(&place, &format!("attacked-{round}"), CLAIMS, &class).await?);
        drop(connections);
    }
    let (quiet, attacked): (Times, Times) = (quiet.into_iter().collect(), attacked.into_iter().collect());
    let mut part = table.part("Creating a claim while another client holds 500 connections open, 180 claims each");
    for (quantile, name) in [(0.5, "p50"), (0.99, "p99")] {
        let (quiet, attacked) = (quiet.quantile(quantile), attacked.quantile(quantile));
        part.note(format!("without attack, {name}"), quiet, Unit::Ms);
        part.note(format!("under attack, {name}"), attacked, Unit::Ms);
        let ratio = format!("  ratio, {name}");
        part.expect(ratio, attacked / quiet, Unit::Ratio, Expected::AtMost(2.0));
    }
    Ok(())
}

/// Opens the connections. They are closed when the returned value is dropped.
async fn open_connections() -> Result<JoinSet<()>> {
    let url: http::Uri = Bed::get().webhook.parse()?;
    let address = url.authority().context("a webhook without a host")?.to_string();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let address = address.clone();
        connections.spawn(async move {
            loop {
                if let Ok(mut stream) = TcpStream::connect(&address).await {
                    // First the header of a TLS record of 16 KiB is sent, and then one byte at a time.
                    let _ = stream.write_all(&[0x16, 0x03, 0x01, 0x40, 0x00]).await;
                    while stream.write_all(&[0x01]).await.is_ok() {
                        sleep(BYTE_INTERVAL).await;
                    }
                }
                sleep(BYTE_INTERVAL).await;
            }
        });
    }
    sleep(CONNECT_TIME).await;
    Ok(connections)
}

async fn create(place: &Place, prefix: &str, claims: u32, class: &str) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for turn in 0..claims {
        let name = format!("{prefix}-{turn}");
        let (took, volume) = place.create(&name, class).await?;
        volume.with_context(|| format!("claim {name} came back without a volume"))?;
        times.push(took);
    }
    Ok(times)
}

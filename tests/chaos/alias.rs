//! A second address of the NFS server: a proxy to the same server.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// The port of NFS.
const PORT: u16 = 2049;

/// Listens on a free loopback address and forwards connections to `server`. Returns the address. Runs until the process
/// ends.
pub async fn start(server: &str) -> Result<String> {
    let server: SocketAddr = format!("{server}:{PORT}").parse().context("the NFS server's address")?;
    let (listener, address) = listen().await?;
    tokio::spawn(async move {
        loop {
            // Connections that were closed before they were accepted are ignored.
            let Ok((mut client, _)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(async move {
                // If the server does not run, its clients see a closed connection.
                if let Ok(mut server) = TcpStream::connect(server).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    Ok(address.to_string())
}

async fn listen() -> Result<(TcpListener, Ipv4Addr)> {
    for _ in 0..50 {
        let random = uuid::Uuid::new_v4();
        let [a, b, c, ..] = random.as_bytes();
        let address = Ipv4Addr::new(127, 20 + a % 200, *b, 1 + c % 254);
        if let Ok(listener) = TcpListener::bind((address, PORT)).await {
            return Ok((listener, address));
        }
    }
    anyhow::bail!("no free loopback address for port {PORT}")
}

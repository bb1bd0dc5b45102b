//! Sends reviews to a webhook as the API server does: over persistent connections with TLS and HTTP/1.1, one review at
//! a time on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use futures::future::try_join_all;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until};
use tokio_rustls::TlsConnector;

use crate::stub::TOKEN;
use crate::times::Times;

const NAME: &str = "bindery.bindery.svc";
/// Placeholder in a review for the name of the connection.
pub const CLAIM_NAME: &str = "data-of-a-connection";

/// Connections to a webhook.
pub struct Driver {
    connections: Vec<SendRequest<Full<Bytes>>>,
}

/// The result of a measurement.
pub struct Measured {
    /// Number of reviews.
    pub answers: u32,
    /// Reviews per second.
    pub rate: f64,
    /// Times from the planned start of a review until its answer.
    pub times: Times,
}

impl Driver {
    /// Opens this number of connections.
    pub async fn connect(address: &str, ca: &str, connections: usize) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
            roots.add(certificate?)?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let open = (0..connections).map(async |_| -> Result<_> {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = connector.connect(ServerName::try_from(NAME)?, stream).await?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            Ok(sender)
        });
        Ok(Self {
            connections: try_join_all(open).await?,
        })
    }

    /// Sends reviews for this time. Each connection sends the next review as soon as it has an answer.
    pub async fn at_full_speed(&mut self, review: &Bytes, expected: Expected, time: Duration) -> Result<Measured> {
        let began = Instant::now();
        let connections =
            self.connections
                .iter_mut()
                .zip(0..)
                .map(async |(connection, number)| -> Result<Vec<Duration>> {
                    let (review, mut times) = (&with_own_claim(review, number), Vec::new());
                    while began.elapsed() < time {
                        let sent = Instant::now();
                        send(connection, review, expected).await?;
                        times.push(sent.elapsed());
                    }
                    Ok(times)
                });
        Ok(measured(try_join_all(connections).await?, began))
    }

    /// Sends reviews at a constant rate (reviews per second). If a slow answer delays later reviews, their times include
    /// the delay.
    pub async fn at_rate(&mut self, review: &Bytes, expected: Expected, rate: f64, time: Duration) -> Result<Measured> {
        let began = tokio::time::Instant::now();
        let gap = Duration::from_secs_f64(1.0 / rate);
        let connections = u32::try_from(self.connections.len())?;
        let sending = self
            .connections
            .iter_mut()
            .zip(0..)
            .map(async |(connection, first)| -> Result<Vec<Duration>> {
                let (review, mut times) = (&with_own_claim(review, first), Vec::new());
                for turn in 0.. {
                    let due = began + gap * (first + turn * connections);
                    if due > began + time {
                        break;
                    }
                    sleep_until(due).await;
                    send(connection, review, expected).await?;
                    times.push(due.elapsed());
                }
                Ok(times)
            });
        Ok(measured(try_join_all(sending).await?, began.into()))
    }
}

/// The expected answer to every review.
#[derive(Clone, Copy)]
pub enum Expected {
    /// Admitted unchanged.
    Passed,
    /// Admitted with a volume.
    Provisioned,
}

/// Returns a review of a claim that only this connection uses.
fn with_own_claim(review: &Bytes, connection: u32) -> Bytes {
    let review = String::from_utf8_lossy(review);
    Bytes::from(review.replace(CLAIM_NAME, &format!("data-{connection}")))
}

async fn send(connection: &mut SendRequest<Full<Bytes>>, review: &Bytes, expected: Expected) -> Result<()> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/mutate/{TOKEN}?timeout=10s"))
        .header("host", NAME)
        .header("content-type", "application/json")
        .body(Full::new(review.clone()))?;
    connection.ready().await?;
    let answer = connection
        .send_request(request)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    let answer: Value = serde_json::from_slice(&answer).context("the answer")?;
    let response = &answer["response"];
    let volume = response.get("patch").is_some();
    let right = response["allowed"] == true && volume == matches!(expected, Expected::Provisioned);
    ensure!(right, "not the answer that was expected: {answer}");
    Ok(())
}

fn measured(times: Vec<Vec<Duration>>, began: Instant) -> Measured {
    let took = began.elapsed().as_secs_f64();
    let times: Vec<Duration> = times.into_iter().flatten().collect();
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    Measured {
        answers: count,
        rate: f64::from(count) / took,
        times: times.into_iter().collect(),
    }
}

/// Waits until a process listens at the address.
pub async fn until_it_listens(address: &str) -> Result<()> {
    for _ in 0..1000 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(10)).await;
    }
    anyhow::bail!("nobody listens on {address}")
}

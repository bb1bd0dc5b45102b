//! Bindery's admin port: readiness and metrics.

use std::ops::Sub;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Start of a successful answer.
const OK: &str = "HTTP/1.1 200 ";

/// Sends an HTTP GET. Returns an error if there is no connection or the status is not 200.
pub async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with(OK), "{path}: {answer}");
    Ok(answer)
}

/// Count, total time and waits of all reviews that created a volume so far, in seconds.
#[derive(Clone, Copy)]
pub struct Reviews {
    /// Number of reviews.
    pub count: f64,
    /// Total time, from the arrival of the body until the answer.
    pub total: f64,
    /// Waits for the API server.
    pub api: f64,
    /// Waits for the NFS server.
    pub nfs: f64,
    /// Waits for both at the same time, which both values above contain.
    pub both: f64,
}

impl Reviews {
    /// Reads the values from the metrics at this URL.
    pub async fn read(url: &str) -> Result<Self> {
        let (address, path) = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'))
            .with_context(|| format!("{url} is no URL of metrics"))?;
        let text = get(address, &format!("/{path}")).await?;
        // A counter without events has no line.
        let value = |name: &str| -> Result<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map_or(Ok(0.0), |value| value.trim().parse().with_context(|| name.to_owned()))
        };
        Ok(Self {
            count: value(r#"bindery_review_duration_seconds_count{outcome="provision"}"#)?,
            total: value(r#"bindery_review_duration_seconds_sum{outcome="provision"}"#)?,
            api: value(r#"bindery_review_wait_seconds_sum{on="api"}"#)?,
            nfs: value(r#"bindery_review_wait_seconds_sum{on="nfs"}"#)?,
            both: value(r#"bindery_review_wait_seconds_sum{on="both"}"#)?,
        })
    }
}

impl Sub for Reviews {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            count: self.count - before.count,
            total: self.total - before.total,
            api: self.api - before.api,
            nfs: self.nfs - before.nfs,
            both: self.both - before.both,
        }
    }
}

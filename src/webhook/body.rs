//! Reads the bodies of requests within limits of size and time.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use futures::StreamExt;
use tokio::time::timeout;

/// How long reading or discarding a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum number of bytes that are read and discarded.
const MAX_DISCARDED: usize = 16 << 20;

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// The body has more bytes than allowed.
    TooLarge,
    /// The body did not arrive in time, or the connection ended.
    Incomplete,
}

/// Reads a body of at most `max` bytes.
pub async fn read(body: Body, max: usize) -> Result<Vec<u8>, BodyError> {
    let mut data = body.into_data_stream();
    match timeout(BODY_TIMEOUT, collect(&mut data, max)).await {
        Ok(Err(BodyError::TooLarge)) => {
            discard(data).await;
            Err(BodyError::TooLarge)
        }
        Ok(read) => read,
        Err(_) => Err(BodyError::Incomplete),
    }
}

/// Reads and discards a body, within limits of size and time.
///
/// If a connection is closed before all received bytes are read, the kernel resets it, and the client may lose the
/// answer. A client that sent `Expect: 100-continue` has not sent the body yet, so no body is read.
pub async fn discard_body(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body.into_data_stream()).await;
    }
}

async fn collect(data: &mut BodyDataStream, max: usize) -> Result<Vec<u8>, BodyError> {
    let mut read = Vec::new();
    while let Some(bytes) = data.next().await {
        let bytes: Bytes = bytes.map_err(|_| BodyError::Incomplete)?;
        if read.len() + bytes.len() > max {
            return Err(BodyError::TooLarge);
        }
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

async fn discard(mut data: BodyDataStream) {
    let all = async {
        let mut left = MAX_DISCARDED;
        while let Some(Ok(bytes)) = data.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    // The answer is sent after this time even if the body is still arriving.
    let _ = timeout(BODY_TIMEOUT, all).await;
}

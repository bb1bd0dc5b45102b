//! Bodies of requests: read within limits, and dropped so that the answer can be read.

use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use futures::StreamExt;
use tokio::time::timeout;

/// For a body to come, and for one that is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes that are read and dropped at most.
const MOST_DROPPED: usize = 16 << 20;

/// Why there is no body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoBody {
    /// It has more bytes than are allowed.
    TooLarge,
    /// It did not come in time, or the connection ended.
    Incomplete,
}

/// Reads a body of at most so many bytes.
pub async fn read(body: Body, most: usize) -> Result<Vec<u8>, NoBody> {
    let mut data = body.into_data_stream();
    match timeout(PATIENCE, collect(&mut data, most)).await {
        Ok(Err(NoBody::TooLarge)) => {
            discard(data).await;
            Err(NoBody::TooLarge)
        }
        Ok(read) => read,
        Err(_) => Err(NoBody::Incomplete),
    }
}

/// Reads what a request still sends and keeps nothing of it, within limits of bytes and time.
///
/// A connection that is closed while bytes on it are not read is reset, and the reset may destroy the answer before the
/// client reads it. A client that asks first (`Expect: 100-continue`) has sent nothing yet, and is answered at once.
pub async fn drop_unread(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body.into_data_stream()).await;
    }
}

async fn collect(data: &mut BodyDataStream, most: usize) -> Result<Vec<u8>, NoBody> {
    let mut read = Vec::new();
    while let Some(bytes) = data.next().await {
        let bytes: Bytes = bytes.map_err(|_| NoBody::Incomplete)?;
        if read.len() + bytes.len() > most {
            return Err(NoBody::TooLarge);
        }
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

async fn discard(mut data: BodyDataStream) {
    let all = async {
        let mut left = MOST_DROPPED;
        while let Some(Ok(bytes)) = data.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    // What is not read by then is not worth more time.
    let _ = timeout(PATIENCE, all).await;
}

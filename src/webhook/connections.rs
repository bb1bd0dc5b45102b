//! Limits the connections to the webhook's port, before TLS.
//!
//! A connection is unauthenticated until a request on it names the webhook's secret path. It has 10 seconds for that,
//! the TLS handshake included. At 250 connections the oldest unauthenticated one is closed for each new one. So a
//! client that only holds connections open cannot block the API server. If all connections are authenticated, the
//! oldest one is closed; the API server then connects again.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::Layer;

use crate::ops::metrics::Metrics;

/// The maximum number of open connections. Each may need 64 KiB of memory for its handshake. An API server opens at
/// most 25 connections, and usually one.
const MAX_CONNECTIONS: usize = 250;
/// How long a connection may stay unauthenticated.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections within the limits. Clones share the same connections.
#[derive(Clone)]
pub struct Limiter {
    connections: Arc<Mutex<Connections>>,
    metrics: Arc<Metrics>,
    max_connections: usize,
    timeout: Duration,
}

/// The open connections.
#[derive(Default)]
struct Connections {
    next_number: u64,
    open: usize,
    /// The key is whether the connection is authenticated, and its number. A new connection gets a greater number, so
    /// the first entry is the next one to be closed.
    by_age: BTreeMap<(bool, u64), Control>,
}

/// Sends `true` when the connection becomes authenticated. Dropping it closes the connection.
type Control = watch::Sender<bool>;

/// The error of a connection that the limiter has closed and counted.
#[derive(Debug, thiserror::Error)]
#[error("connection closed: {0}")]
pub struct Closed(&'static str);

/// A handle with which a request can mark its connection as authenticated.
#[derive(Clone)]
pub struct Peer {
    number: u64,
    limiter: Limiter,
}

/// An accepted connection.
pub struct Connection {
    tcp: TcpStream,
    peer: Peer,
    /// Completes when the connection must be closed, with the reason.
    must_close: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    closed: Option<&'static str>,
}

impl Limiter {
    /// Creates a limiter with no connections.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            connections: Arc::default(),
            metrics,
            max_connections: MAX_CONNECTIONS,
            timeout: AUTHENTICATION_TIMEOUT,
        }
    }

    fn add(&self, tcp: TcpStream) -> Connection {
        let mut connections = self.connections();
        if connections.open >= self.max_connections {
            // The closed connection is counted until its `Connection` is dropped. Until then there is one too many.
            drop(connections.by_age.pop_first());
        }
        let (control, is_authenticated) = watch::channel(false);
        let number = connections.next_number;
        connections.next_number += 1;
        connections.open += 1;
        connections.by_age.insert((false, number), control);
        Connection {
            tcp,
            peer: Peer {
                number,
                limiter: self.clone(),
            },
            must_close: Box::pin(must_close(is_authenticated, self.timeout)),
            closed: None,
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Marks the connection as authenticated.
    pub fn authenticate(&self) {
        let mut connections = self.limiter.connections();
        if let Some(control) = connections.by_age.remove(&(false, self.number)) {
            // The connection may have ended.
            let _ = control.send(true);
            connections.by_age.insert((true, self.number), control);
        }
    }
}

/// Completes when a connection must be closed, with the reason.
async fn must_close(mut is_authenticated: watch::Receiver<bool>, limit: Duration) -> &'static str {
    match timeout(limit, is_authenticated.wait_for(|value| *value)).await {
        Err(_) => return "unauthenticated_timeout",
        Ok(Err(_)) => return "connection_limit",
        Ok(Ok(_)) => {}
    }
    // The value stays `true`. The channel ends when its sender is dropped.
    while is_authenticated.changed().await.is_ok() {}
    "connection_limit"
}

impl Connection {
    /// Returns an error if the connection must be closed.
    fn check(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.closed.is_none()
            && let Poll::Ready(reason) = self.must_close.as_mut().poll(context)
        {
            self.peer.limiter.metrics.webhook_rejected(reason);
            self.closed = Some(reason);
        }
        self.closed
            .map_or(Ok(()), |reason| Err(Error::new(ErrorKind::TimedOut, Closed(reason))))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut connections = self.peer.limiter.connections();
        connections.open -= 1;
        connections.by_age.remove(&(false, self.peer.number));
        connections.by_age.remove(&(true, self.peer.number));
    }
}

impl<S> Accept<TcpStream, S> for Limiter {
    type Stream = Connection;
    type Service = AddExtension<S, Peer>;
    type Future = Ready<Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let connection = self.add(tcp);
        let service = Extension(connection.peer.clone()).layer(service);
        ready(Ok((connection, service)))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn connect(limiter: &Limiter) -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (limiter.add(server), client)
    }

    fn limiter(max_connections: usize, timeout: Duration) -> Limiter {
        Limiter {
            max_connections,
            timeout,
            ..Limiter::new(Arc::default())
        }
    }

    async fn is_closed(connection: &mut Connection) -> String {
        let first = connection.read_u8().await.unwrap_err().to_string();
        let second = connection.read_u8().await.unwrap_err().to_string();
        assert_eq!(second, first, "the connection stays closed");
        first
    }

    async fn stays_open(connection: &mut Connection) {
        let read = tokio::time::timeout(Duration::from_millis(200), connection.read_u8()).await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test]
    async fn at_the_limit_the_oldest_unauthenticated_connection_is_closed() {
        let limiter = limiter(3, AUTHENTICATION_TIMEOUT);
        let ((mut known, _a), (mut first, _b), (mut second, _c)) = (
            connect(&limiter).await,
            connect(&limiter).await,
            connect(&limiter).await,
        );
        known.peer.authenticate();
        let (mut third, _d) = connect(&limiter).await;
        assert_eq!(is_closed(&mut first).await, "connection closed: connection_limit");
        for connection in [&mut known, &mut second, &mut third] {
            stays_open(connection).await;
        }
        drop(first);
        assert_eq!(limiter.connections().open, 3);
        let counted = r#"bindery_webhook_rejected_total{reason="connection_limit"} 1"#;
        assert!(limiter.metrics.text().contains(counted));
    }

    #[tokio::test]
    async fn at_the_limit_the_oldest_connection_is_closed_if_all_are_authenticated() {
        let limiter = limiter(2, AUTHENTICATION_TIMEOUT);
        let ((mut first, _a), (mut second, _b)) = (connect(&limiter).await, connect(&limiter).await);
        first.peer.authenticate();
        second.peer.authenticate();
        let (mut third, _c) = connect(&limiter).await;
        assert_eq!(is_closed(&mut first).await, "connection closed: connection_limit");
        stays_open(&mut second).await;
        stays_open(&mut third).await;
    }

    #[tokio::test]
    async fn an_unauthenticated_connection_is_closed_after_the_timeout() {
        let limiter = limiter(9, Duration::from_millis(50));
        let ((mut known, _a), (mut unknown, _b)) = (connect(&limiter).await, connect(&limiter).await);
        known.peer.authenticate();
        assert_eq!(
            is_closed(&mut unknown).await,
            "connection closed: unauthenticated_timeout"
        );
        stays_open(&mut known).await;
    }
}

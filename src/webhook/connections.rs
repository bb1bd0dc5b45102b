//! Who may come in, and for how long: connections before TLS.
//!
//! A connection is a stranger's until a request on it has named the webhook's secret path. A stranger has a few seconds,
//! handshake included, and when the house is full the one that has waited longest leaves for the next: so a crowd that
//! only holds connections open cannot keep the API server out. Whoever is known may stay as long as it answers and there is
//! room; where all are known, the first that came leaves, and comes again if it is the API server.

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

/// So many connections in all: each may hold 64 KiB of a handshake. An API server has 25 at most, and mostly one.
const MOST: usize = 250;
/// So long may a stranger stay.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets connections in; clones are the same door.
#[derive(Clone)]
pub struct Door {
    house: Arc<Mutex<House>>,
    metrics: Arc<Metrics>,
    most: usize,
    patience: Duration,
}

#[derive(Default)]
struct House {
    next: u64,
    inside: usize,
    /// In the order in which they came; dropping one shows it the door.
    strangers: BTreeMap<u64, Stay>,
    known: BTreeMap<u64, Stay>,
}

/// Says that a connection is known by now; dropped, that it must leave.
type Stay = watch::Sender<bool>;

/// Why a connection was closed; it is counted already.
#[derive(Debug, thiserror::Error)]
#[error("turned away: {0}")]
pub struct TurnedAway(&'static str);

/// One connection, as requests on it see it.
#[derive(Clone)]
pub struct Guest {
    number: u64,
    door: Door,
}

/// The connection itself.
pub struct Visit {
    tcp: TcpStream,
    guest: Guest,
    /// Ends with the reason why it must leave.
    leave: Pin<Box<dyn Future<Output = &'static str> + Send>>,
    left: Option<&'static str>,
}

impl Door {
    /// A door that nobody has come through yet.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            house: Arc::default(),
            metrics,
            most: MOST,
            patience: PATIENCE,
        }
    }

    fn enter(&self, tcp: TcpStream) -> Visit {
        let mut house = self.house();
        if house.inside >= self.most {
            // It has left the count only when its connection is dropped; for that moment there is one too many.
            let longest = house.strangers.pop_first();
            drop(longest.or_else(|| house.known.pop_first()));
        }
        let (stay, stays) = watch::channel(false);
        let number = house.next;
        house.next += 1;
        house.inside += 1;
        house.strangers.insert(number, stay);
        Visit {
            tcp,
            guest: Guest {
                number,
                door: self.clone(),
            },
            leave: Box::pin(leave(stays, self.patience)),
            left: None,
        }
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// It has named the secret path.
    pub fn is_known(&self) {
        let mut house = self.door.house();
        if let Some(stay) = house.strangers.remove(&self.number) {
            // The connection may be gone by now.
            let _ = stay.send(true);
            house.known.insert(self.number, stay);
        }
    }
}

/// When a connection must leave, and why.
async fn leave(mut stays: watch::Receiver<bool>, patience: Duration) -> &'static str {
    match timeout(patience, stays.wait_for(|known| *known)).await {
        Err(_) => return "stranger",
        Ok(Err(_)) => return "full",
        Ok(Ok(_)) => {}
    }
    // It never changes again, but it may be dropped.
    while stays.changed().await.is_ok() {}
    "full"
}

impl Visit {
    /// Fails when it is time to leave.
    fn may_stay(&mut self, context: &mut Context<'_>) -> Result<()> {
        if self.left.is_none()
            && let Poll::Ready(why) = self.leave.as_mut().poll(context)
        {
            self.guest.door.metrics.turned_away(why);
            self.left = Some(why);
        }
        self.left
            .map_or(Ok(()), |why| Err(Error::new(ErrorKind::TimedOut, TurnedAway(why))))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut house = self.guest.door.house();
        house.inside -= 1;
        house.strangers.remove(&self.guest.number);
        house.known.remove(&self.guest.number);
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Visit;
    type Service = AddExtension<S, Guest>;
    type Future = Ready<Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let visit = self.enter(tcp);
        let service = Extension(visit.guest.clone()).layer(service);
        ready(Ok((visit, service)))
    }
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.may_stay(context)?;
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.may_stay(context)?;
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

    async fn knock(door: &Door) -> (Visit, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        (door.enter(ours), theirs)
    }

    fn door(most: usize, patience: Duration) -> Door {
        Door {
            most,
            patience,
            ..Door::new(Arc::default())
        }
    }

    async fn leaves(visit: &mut Visit) -> String {
        let first = visit.read_u8().await.unwrap_err().to_string();
        assert_eq!(visit.read_u8().await.unwrap_err().to_string(), first, "for good");
        first
    }

    async fn stays(visit: &mut Visit) {
        let read = tokio::time::timeout(Duration::from_millis(200), visit.read_u8()).await;
        assert!(read.is_err(), "{read:?}");
    }

    #[tokio::test]
    async fn a_full_house_shows_the_longest_waiting_stranger_the_door_and_nobody_who_is_known() {
        let door = door(3, PATIENCE);
        let ((mut known, _a), (mut first, _b), (mut second, _c)) =
            (knock(&door).await, knock(&door).await, knock(&door).await);
        known.guest.is_known();
        let (mut third, _d) = knock(&door).await;
        assert_eq!(leaves(&mut first).await, "turned away: full");
        for visit in [&mut known, &mut second, &mut third] {
            stays(visit).await;
        }
        drop(first);
        assert_eq!(door.house().inside, 3);
        assert!(door.metrics.text().contains(r#"turned_away_total{why="full"} 1"#));
    }

    #[tokio::test]
    async fn a_house_full_of_the_known_shows_the_first_of_them_the_door() {
        let door = door(2, PATIENCE);
        let ((mut first, _a), (mut second, _b)) = (knock(&door).await, knock(&door).await);
        first.guest.is_known();
        second.guest.is_known();
        let (mut third, _c) = knock(&door).await;
        assert_eq!(leaves(&mut first).await, "turned away: full");
        stays(&mut second).await;
        stays(&mut third).await;
    }

    #[tokio::test]
    async fn a_stranger_has_its_time_and_the_known_stay() {
        let door = door(9, Duration::from_millis(50));
        let ((mut known, _a), (mut stranger, _b)) = (knock(&door).await, knock(&door).await);
        known.guest.is_known();
        assert_eq!(leaves(&mut stranger).await, "turned away: stranger");
        stays(&mut known).await;
    }
}

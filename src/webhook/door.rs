//! Who may come in, and for how long: connections before TLS.
//!
//! A connection is a stranger's until a request on it has named the webhook's secret path. A stranger has a few seconds,
//! handshake included, and when the house is full the one that has waited longest leaves for the next: so a crowd that
//! only holds connections open cannot keep the API server out. Whoever is known may stay, as long as it answers.

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
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};
use tower::Layer;

use crate::ops::metrics::Metrics;

/// So many connections in all. An API server has one or a few.
const MOST: usize = 1_000;
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
    strangers: BTreeMap<u64, oneshot::Sender<()>>,
}

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
    stranger: Option<(oneshot::Receiver<()>, Pin<Box<Sleep>>)>,
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

    /// Nothing if all are known who are in, and they are too many.
    fn enter(&self, tcp: TcpStream) -> Option<Visit> {
        let mut house = self.house();
        if house.inside >= self.most {
            // It has left the count only when its connection is dropped; for that moment there is one too many.
            house.strangers.pop_first()?;
        }
        let (stays, leave) = oneshot::channel();
        let number = house.next;
        house.next += 1;
        house.inside += 1;
        house.strangers.insert(number, stays);
        let guest = Guest {
            number,
            door: self.clone(),
        };
        Some(Visit {
            tcp,
            guest,
            stranger: Some((leave, Box::pin(sleep(self.patience)))),
        })
    }

    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// It has named the secret path.
    pub fn is_known(&self) {
        if let Some(stays) = self.door.house().strangers.remove(&self.number) {
            // The connection may be gone by now.
            let _ = stays.send(());
        }
    }
}

impl Visit {
    /// Fails when it is time to leave.
    fn may_stay(&mut self, context: &mut Context<'_>) -> Result<()> {
        let Some((leave, time)) = &mut self.stranger else {
            return Ok(());
        };
        let why = match (Pin::new(leave).poll(context), time.as_mut().poll(context)) {
            (Poll::Ready(Ok(())), _) => {
                self.stranger = None;
                return Ok(());
            }
            (Poll::Ready(Err(_)), _) => "full",
            (_, Poll::Ready(())) => "stranger",
            (Poll::Pending, Poll::Pending) => return Ok(()),
        };
        self.guest.door.metrics.turned_away(why);
        Err(Error::new(ErrorKind::TimedOut, why))
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut house = self.guest.door.house();
        house.inside -= 1;
        house.strangers.remove(&self.guest.number);
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Visit;
    type Service = AddExtension<S, Guest>;
    type Future = Ready<Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, tcp: TcpStream, service: S) -> Self::Future {
        let Some(visit) = self.enter(tcp) else {
            self.metrics.turned_away("full");
            return ready(Err(Error::from(ErrorKind::ConnectionRefused)));
        };
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

    async fn knock(door: &Door) -> (Option<Visit>, TcpStream) {
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
        visit.read_u8().await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn a_full_house_shows_the_longest_waiting_stranger_the_door_and_nobody_who_is_known() {
        let door = door(3, PATIENCE);
        let ((known, _a), (first, _b), (second, _c)) = (knock(&door).await, knock(&door).await, knock(&door).await);
        known.as_ref().unwrap().guest.is_known();
        let (third, _d) = knock(&door).await;
        assert_eq!(leaves(&mut first.unwrap()).await, "full");
        for visit in [second, third] {
            visit.unwrap().guest.is_known();
        }
        let (fourth, _e) = knock(&door).await;
        assert!(fourth.is_some(), "those who were known have left");
        assert_eq!(door.house().inside, 2);
    }

    #[tokio::test]
    async fn a_house_full_of_the_known_lets_nobody_in() {
        let door = door(1, PATIENCE);
        let (known, _a) = knock(&door).await;
        known.as_ref().unwrap().guest.is_known();
        assert!(knock(&door).await.0.is_none());
        drop(known);
        assert!(knock(&door).await.0.is_some());
    }

    #[tokio::test]
    async fn a_stranger_has_its_time_and_the_known_stay() {
        let door = door(9, Duration::from_millis(50));
        let ((known, _a), (stranger, _b)) = (knock(&door).await, knock(&door).await);
        let mut known = known.unwrap();
        known.guest.is_known();
        assert_eq!(leaves(&mut stranger.unwrap()).await, "stranger");
        let stays = tokio::time::timeout(Duration::from_millis(200), known.read_u8()).await;
        assert!(stays.is_err(), "{stays:?}");
    }
}

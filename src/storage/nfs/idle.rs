//! Sessions or connections that no call uses at the moment.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// A session or connection that can be kept for the next call.
pub(super) trait Reusable {
    /// Returns the time at which it will have been idle for too long.
    fn expires(&self) -> Instant;
    /// Returns whether the server has closed it.
    fn closed(&self) -> bool;
}

/// The idle sessions or connections, the latest one last.
#[derive(Debug)]
pub(super) struct Idle<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    /// Whether a task runs that closes expired ones.
    has_closer: bool,
}

impl<T> Default for Idle<T> {
    fn default() -> Self {
        Self(Mutex::new(State {
            items: Vec::new(),
            has_closer: false,
        }))
    }
}

impl<T: Reusable> Idle<T> {
    /// Takes a usable one. Those that the server has closed are passed to `discard`.
    pub fn take(&self, discard: impl Fn(T)) -> Option<T> {
        let mut state = self.state();
        // The one that was used last is taken first, so the others expire and are closed.
        while let Some(item) = state.items.pop_if(|item| Instant::now() < item.expires()) {
            if !item.closed() {
                return Some(item);
            }
            discard(item);
        }
        None
    }

    /// Keeps one for the next call. Returns whether the caller must start the task that closes expired ones.
    #[must_use]
    pub fn put(&self, item: T) -> bool {
        let mut state = self.state();
        state.items.push(item);
        !std::mem::replace(&mut state.has_closer, true)
    }

    /// Removes and returns those for which `remove` returns true.
    pub fn remove(&self, remove: impl FnMut(&mut T) -> bool) -> Vec<T> {
        self.state().items.extract_if(.., remove).collect()
    }

    /// Removes the expired ones. Returns them, and the time at which the next one expires. If there is neither, the task
    /// must end.
    pub fn take_expired(&self) -> (Vec<T>, Option<Instant>) {
        let mut state = self.state();
        let now = Instant::now();
        let expired: Vec<T> = state.items.extract_if(.., |item| item.expires() <= now).collect();
        let next = state.items.iter().map(T::expires).min();
        state.has_closer = next.is_some() || !expired.is_empty();
        (expired, next)
    }

    /// Locks the state. It is consistent after each statement, also if a thread panicked.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

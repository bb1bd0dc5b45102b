//! Sessions or connections that no call uses at the moment.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What can be kept for the next call.
pub(super) trait Reusable {
    /// When it has been idle for too long.
    fn expires(&self) -> Instant;
    /// Whether the server has closed it.
    fn closed(&self) -> bool;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Idle<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    items: Vec<T>,
    /// A task closes those that have expired.
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
    /// Takes one that can be used. Those that the server has closed are passed to `discard`.
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

    /// Keeps one for the next call. Returns whether the caller must start a task that closes those that expire.
    #[must_use]
    pub fn put(&self, item: T) -> bool {
        let mut state = self.state();
        state.items.push(item);
        !std::mem::replace(&mut state.has_closer, true)
    }

    /// Removes those of which `remove` is true.
    pub fn remove(&self, remove: impl FnMut(&mut T) -> bool) -> Vec<T> {
        self.state().items.extract_if(.., remove).collect()
    }

    /// Removes those that have expired, and says when the next one expires. If there is neither, the closing task ends.
    pub fn take_expired(&self) -> (Vec<T>, Option<Instant>) {
        let mut state = self.state();
        let now = Instant::now();
        let expired: Vec<T> = state.items.extract_if(.., |item| item.expires() <= now).collect();
        let next = state.items.iter().map(T::expires).min();
        state.has_closer = next.is_some() || !expired.is_empty();
        (expired, next)
    }

    /// The state is whole after each statement, also where a thread panicked.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

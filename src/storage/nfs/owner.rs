//! Client owners (RFC 8881, 2.4): the names by which a server knows this client again after a crash.
//!
//! Each session is a client of its own, named after the machine, the user, the server and a number that no other session
//! has at the time. So a session that is opened ends what an earlier one of the same name has left. The server's name is
//! in it because two names of one server have sessions of their own.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::rpc::Credentials;

/// The owners of the sessions on one server.
#[derive(Clone, Debug)]
pub(super) struct Owners {
    name: String,
    taken: Arc<Mutex<BTreeSet<usize>>>,
}

/// One owner, taken until this is dropped.
#[derive(Debug)]
pub(super) struct Owner {
    owners: Owners,
    number: usize,
}

impl Owners {
    pub fn new(credentials: &Credentials, server: &str) -> Self {
        let Credentials { uid, gid, machine } = credentials;
        Self {
            // With the user: servers let nobody else end what one user has left.
            name: format!("bindery {machine} {uid}:{gid} {server}"),
            taken: Arc::default(),
        }
    }

    /// The free one with the lowest number: few names in all.
    pub fn take(&self) -> Owner {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // So many are taken, so one of these is free.
        let number = (0..=taken.len())
            .find(|number| !taken.contains(number))
            .unwrap_or_default();
        taken.insert(number);
        Owner {
            owners: self.clone(),
            number,
        }
    }
}

impl Owner {
    pub fn name(&self) -> String {
        format!("{} {}", self.owners.name, self.number)
    }

    /// The names of the others among the first `count`.
    pub fn others(&self, count: usize) -> Vec<String> {
        let others = (0..count).filter(|number| *number != self.number);
        others.map(|number| format!("{} {number}", self.owners.name)).collect()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut taken = self.owners.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sessions_have_one_owner_and_a_free_one_is_taken_again() {
        let credentials = Credentials {
            uid: 1,
            gid: 2,
            machine: "pod".to_owned(),
        };
        let owners = Owners::new(&credentials, "nas");
        let (first, second) = (owners.take(), owners.take());
        assert_eq!(
            [first.name(), second.name()],
            ["bindery pod 1:2 nas 0", "bindery pod 1:2 nas 1"]
        );
        assert_eq!(second.others(2), [first.name()]);
        drop(first);
        assert_eq!(owners.take().name(), "bindery pod 1:2 nas 0");
    }
}

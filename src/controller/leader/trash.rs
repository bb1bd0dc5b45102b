//! Hands directories in the trash over to the loop that removes them.

use tokio::sync::mpsc;

use crate::model::directory::{Directory, Share};

/// Something in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// On which share.
    pub share: Share,
    /// Where it lies.
    pub place: Directory,
}

/// Takes entries that are to be removed.
#[derive(Clone)]
pub struct Trash(mpsc::UnboundedSender<Entry>);

impl Trash {
    /// The second half is for the loop that removes them.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Entry>) {
        let (entries, handed_over) = mpsc::unbounded_channel();
        (Self(entries), handed_over)
    }

    /// Hands an entry over. One that is worked on already is not worked on twice.
    pub fn put(&self, entry: Entry) {
        // It fails when the term is over: the next one finds the entry in the trash.
        let _ = self.0.send(entry);
    }
}

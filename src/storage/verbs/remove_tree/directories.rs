//! The directories that a removal is emptying, with a limit on how many are remembered.

use std::collections::BTreeMap;

use super::directory::{Child, Directory, Id, Next};
use crate::storage::verbs::protocol::Name;

/// The parent of the tree. Only the top of the tree is looked up or removed in it.
pub(super) const ABOVE: Id = 0;

/// The directories that are being emptied.
pub(super) struct Directories<H> {
    /// The first one is [`ABOVE`]. Each has a higher id than its parent.
    by_id: BTreeMap<Id, Directory<H>>,
    next: Id,
    /// Above this number the directory nearest to the top of the tree is forgotten.
    most: usize,
    /// The name of the tree in its parent.
    top: Name,
}

impl<H: Clone> Directories<H> {
    /// Creates the state for the tree `top` in `parent`, before the first call.
    pub fn new(parent: H, top: &str, most: usize) -> Self {
        let mut above = Directory::new(parent, Child::new(Name::new()), None);
        above.directories.push(Child::new(top.into()));
        // Nothing else in the parent is removed, and its mode stays.
        (above.read, above.made_accessible) = (true, true);
        Self {
            by_id: BTreeMap::from([(ABOVE, above)]),
            next: ABOVE + 1,
            most,
            top: top.into(),
        }
    }

    /// Returns whether the tree is gone.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns a directory; `None` if it was forgotten.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut Directory<H>> {
        self.by_id.get_mut(&id)
    }

    /// Returns the next call, in the youngest directory that has one, and counts it as in progress. `fit` returns how many
    /// of the names one call can remove.
    pub fn next_call(&mut self, fit: impl Fn(&[&[u8]]) -> usize) -> Option<(Id, H, Next)> {
        loop {
            let mut youngest_first = self.by_id.iter_mut().rev();
            let (id, next) = youngest_first.find_map(|(id, directory)| Some((*id, directory.next(&fit)?)))?;
            if let Next::End = next {
                self.finish(id);
                continue;
            }
            let directory = self.by_id.get_mut(&id)?;
            directory.calls += 1;
            return Some((id, directory.handle.clone(), next));
        }
    }

    /// Adds a directory that was found in `parent`.
    pub fn enter(&mut self, parent: Id, child: Child, handle: H) {
        let Some(above) = self.by_id.get_mut(&parent) else {
            return;
        };
        above.children += 1;
        self.by_id
            .insert(self.next, Directory::new(handle, child, Some(parent)));
        self.next += 1;
        if self.by_id.len() > self.most {
            self.forget();
        }
    }

    /// Passes an emptied directory on to its parent, which removes it.
    fn finish(&mut self, id: Id) {
        let Some(done) = self.by_id.remove(&id) else {
            return;
        };
        let Some(parent) = done.parent else {
            return self.orphan_is_done();
        };
        let Some(above) = self.by_id.get_mut(&parent) else {
            return;
        };
        above.children -= 1;
        above.emptied.push(Child {
            unlisted: if done.listed { 0 } else { done.child.unlisted + 1 },
            name: done.child.name,
        });
    }

    /// Forgets the directory nearest to the top of the tree: the top itself, or one whose parent was forgotten before.
    fn forget(&mut self) {
        let Some(id) = self.by_id.keys().nth(1).copied() else {
            return;
        };
        self.by_id.remove(&id);
        let mut orphans = 0;
        for directory in self.by_id.values_mut() {
            if directory.parent == Some(id) {
                directory.parent = None;
                orphans += 1;
            }
        }
        if let Some(above) = self.by_id.get_mut(&ABOVE) {
            above.children += orphans;
        }
        self.orphan_is_done();
    }

    /// Counts a directory below [`ABOVE`] that is empty or forgotten: the top, or one whose parent was forgotten. After the
    /// last one, the tree is entered from its top again.
    fn orphan_is_done(&mut self) {
        let Some(above) = self.by_id.get_mut(&ABOVE) else {
            return;
        };
        above.children -= 1;
        if above.children == 0 {
            above.directories.push(Child::new(self.top.clone()));
        }
    }
}

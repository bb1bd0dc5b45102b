//! A directory that is being emptied: what is known of it, and which call comes next.

use crate::storage::status::Status;
use crate::storage::verbs::protocol::Name;

pub(super) type Id = u64;

/// A directory of the tree, as its parent knows it.
#[derive(Clone)]
pub(super) struct Child {
    pub name: Name,
    /// How many times in a row nothing was listed in it, and yet the server said that it is not empty.
    pub unlisted: u32,
}

/// A directory that is being emptied.
pub(super) struct Directory<H> {
    pub handle: H,
    pub child: Child,
    /// The directory that it is in, unless that was forgotten.
    pub parent: Option<Id>,
    pub files: Vec<Name>,
    pub directories: Vec<Child>,
    /// Directories in which nothing is left.
    pub emptied: Vec<Child>,
    /// Calls under way in it, and directories below it that are being emptied.
    pub calls: usize,
    pub children: usize,
    /// The page that was read was the last one.
    pub read: bool,
    /// A page had a name in it.
    pub listed: bool,
    /// The status because of which its mode is to be set to 0700; and whether that was tried.
    pub denied: Option<Status>,
    pub made_accessible: bool,
}

/// The next call in a directory.
pub(super) enum Next {
    Page,
    LookUp(Child),
    Files(Vec<Name>),
    Emptied(Vec<Child>),
    MakeAccessible,
    /// Nothing is left in it.
    End,
}

impl Child {
    pub fn new(name: Name) -> Self {
        Self { name, unlisted: 0 }
    }
}

impl<H> Directory<H> {
    pub fn new(handle: H, child: Child, parent: Option<Id>) -> Self {
        Self {
            handle,
            child,
            parent,
            files: Vec::new(),
            directories: Vec::new(),
            emptied: Vec::new(),
            calls: 0,
            children: 0,
            read: false,
            listed: false,
            denied: None,
            made_accessible: false,
        }
    }

    /// Returns the next call, unless it must wait for others. `fit` says how many of the names one call can remove.
    pub fn next(&mut self, fit: impl Fn(&[&[u8]]) -> usize) -> Option<Next> {
        if self.denied.is_some() {
            // Calls that were sent before the mode is set may be denied, too.
            return (self.calls == 0).then_some(Next::MakeAccessible);
        }
        if !self.files.is_empty() {
            let names: Vec<&[u8]> = self.files.iter().map(Vec::as_slice).collect();
            let count = fit(&names);
            return Some(Next::Files(self.files.drain(..count).collect()));
        }
        if !self.emptied.is_empty() {
            let names: Vec<&[u8]> = self.emptied.iter().map(|child| child.name.as_slice()).collect();
            let count = fit(&names);
            return Some(Next::Emptied(self.emptied.drain(..count).collect()));
        }
        if let Some(child) = self.directories.pop() {
            return Some(Next::LookUp(child));
        }
        if self.calls > 0 || self.children > 0 {
            return None;
        }
        Some(if self.read { Next::End } else { Next::Page })
    }
}

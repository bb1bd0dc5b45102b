//! A directory that is being emptied: its state, and its next call.

use crate::storage::status::Status;
use crate::storage::verbs::protocol::Name;

pub(super) type Id = u64;

/// An entry of a directory that is or may be a directory.
#[derive(Clone)]
pub(super) struct Child {
    pub name: Name,
    /// How many times in a row its listing was empty, but the server answered that it is not empty.
    pub unlisted: u32,
}

/// A directory that is being emptied.
pub(super) struct Directory<H> {
    pub handle: H,
    pub child: Child,
    /// Its parent, unless that was forgotten.
    pub parent: Option<Id>,
    pub files: Vec<Name>,
    pub directories: Vec<Child>,
    /// Directories that are empty now.
    pub emptied: Vec<Child>,
    /// The number of calls in progress in it.
    pub calls: usize,
    /// The number of directories below it that are being emptied.
    pub children: usize,
    /// Whether the latest page was the last one.
    pub read: bool,
    /// Whether a page contained a name.
    pub listed: bool,
    /// The status of a denial, until the mode has been set to 0700.
    pub denied: Option<Status>,
    /// Whether setting the mode was tried.
    pub made_accessible: bool,
}

/// The next call in a directory.
pub(super) enum Next {
    Page,
    LookUp(Child),
    Files(Vec<Name>),
    Emptied(Vec<Child>),
    MakeAccessible,
    /// No call: the directory is empty.
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

    /// Returns the next call, unless it must wait for others. `fit` returns how many of the names one call can remove.
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

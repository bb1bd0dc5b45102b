//! The names in a directory.

use super::diagnose::Action;
use super::errno::errno;
use super::run::{RoundError, Run};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::Fault;

/// A share with more names than this is not listed: 250 MB of memory at worst.
const MOST_NAMES: usize = 1_000_000;

impl Run {
    /// One round of [`crate::storage::Storage::list`].
    pub fn list(&self, directory: Option<&Directory>) -> Result<Vec<String>, RoundError> {
        let segments: Vec<&str> = directory.iter().flat_map(|directory| directory.segments()).collect();
        let Walk::Found(opened) = self.walk(&segments)? else {
            return Ok(Vec::new());
        };
        let refused = |error| self.refused(Action::List, errno(&error));
        let mut names = Vec::new();
        for entry in opened.dir.entries().map_err(refused)? {
            let name = entry.map_err(refused)?.file_name();
            names.extend(name.into_string());
            if names.len() > MOST_NAMES {
                return Err(self.fails(Fault::Other, "more than a million names are in it. Divide it."));
            }
            if self.is_over() {
                return Err(RoundError::TimedOut);
            }
        }
        Ok(names)
    }
}

//! Lists the names in a directory.

use super::errno::errno;
use super::run::{RoundError, Run};
use super::walk::Walk;
use crate::model::directory::Directory;
use crate::storage::Fault;
use crate::storage::refusal::{Action, MOST_NAMES, TOO_MANY_NAMES};

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
                return Err(self.fails(Fault::Other.because(TOO_MANY_NAMES)));
            }
            if self.is_over() {
                return Err(RoundError::TimedOut);
            }
        }
        Ok(names)
    }
}

//! Makes a directory with the wanted attributes, or sets those of an existing one. Only the mode may differ, if the server does not let it be set or does not
//! keep it. The result has the actual mode.
//!
//! New parents stay if the verb fails: they are empty, and the next attempt needs them.

use super::protocol::{Created, Protocol, Walk};
use crate::model::attributes::Attributes;
use crate::model::directory::Directory;
use crate::model::identity::Identity;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::attributes::PARENT_ATTRIBUTES;
use crate::storage::refusal::Action;
use crate::storage::{Existing, Found, Made};

impl<P: Protocol> Attempt<'_, P> {
    /// One round of [`crate::storage::Storage::make`].
    pub async fn make(
        &self,
        directory: &Directory,
        wanted: Attributes,
        existing: Existing,
    ) -> Result<Made, RoundError> {
        let (parents, last) = directory.split_last();
        let parent = self.make_parents(&parents).await?;
        let maybe_made = self.state().maybe_made;
        if existing == Existing::LeaveAlone && !maybe_made {
            // Before the creation. So if a call gets no answer and the directory exists afterwards, that call has made it.
            if let Some(object) = self.look_up_in(&parent, last).await? {
                self.require_directory(&object, Action::Segment(last))?;
                return Ok(Made::of(&object.found, false));
            }
        }
        let created = P::create(self, &parent, last, wanted).await;
        if let Err(RoundError::Retry(RetryReason::Lost | RetryReason::Later)) = created {
            self.state().maybe_made = true;
        }
        match created? {
            Created::New(object) => Ok(Made::of(&object.found, true)),
            Created::Exists => {
                let object = self.look_up_existing(&parent, last).await?;
                let set = existing == Existing::SetAttributes || maybe_made;
                if !set || object.found.has(wanted) {
                    return Ok(Made::of(&object.found, maybe_made));
                }
                let set = P::set_attributes(self, &object.handle, wanted).await?;
                let found = set.map_err(|error| self.wrong_attributes(&error))?;
                Ok(Made::of(&found, maybe_made))
            }
        }
    }

    /// One round of [`crate::storage::Storage::set_attributes`]. A handle does not lead to another directory, so the identity
    /// is still the same when the attributes are set.
    pub async fn set_attributes(
        &self,
        directory: &Directory,
        expected: Identity,
        wanted: Attributes,
    ) -> Result<Option<Found>, RoundError> {
        let (parents, last) = directory.split_last();
        let Walk::Found(parent) = P::walk(self, &parents).await? else {
            return Ok(None);
        };
        let Some(object) = self.look_up_in(&parent.handle, last).await? else {
            return Ok(None);
        };
        if object.found.identity != expected {
            return Ok(None);
        }
        self.require_directory(&object, Action::Segment(last))?;
        if object.found.has(wanted) {
            return Ok(Some(object.found));
        }
        let set = P::set_attributes(self, &object.handle, wanted).await?;
        let found = set.map_err(|error| self.wrong_attributes(&error))?;
        Ok(Some(found))
    }

    /// Returns the parent directory. Makes it, and the directories above it, if they are missing.
    async fn make_parents(&self, segments: &[&str]) -> Result<P::Handle, RoundError> {
        let missing = match P::walk(self, segments).await? {
            Walk::Found(parent) => return Ok(parent.handle),
            Walk::Missing(at) => at,
        };
        let mut above = P::walk(self, &segments[..missing]).await?.must_exist()?.handle;
        for segment in &segments[missing..] {
            above = match P::create(self, &above, segment, PARENT_ATTRIBUTES).await? {
                Created::New(made) => made.handle,
                // Another call has made it since, for another directory below it.
                Created::Exists => self.look_up_existing(&above, segment).await?.handle,
            };
        }
        Ok(above)
    }
}

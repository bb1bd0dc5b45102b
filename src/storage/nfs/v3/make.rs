//! Makes a directory with the wanted attributes (MKDIR and SETATTR: RFC 1813, 3.3.9 and 3.3.2).
//!
//! Servers drop setuid, setgid and sticky bits from MKDIR and may apply a umask. So SETATTR follows, the owner first,
//! because a change of owner may drop bits too. Then the attributes are checked. If the attributes of a new directory cannot
//! be set, it is removed again, unless another one has replaced it.

use super::pool::Pool;
use super::procedure::{Call, Handle, Reply, has_valid_length};
use crate::model::attributes::Attributes;
use crate::model::identity::Identity;
use crate::storage::Found;
use crate::storage::attempt::{Attempt, RetryReason, RoundError};
use crate::storage::attributes::{AttributeError, Change, after_refused_mode, initial_mode};
use crate::storage::refusal::Action;
use crate::storage::status::Status;
use crate::storage::verbs::protocol::{Created, File};

impl Attempt<'_, Pool> {
    /// See [`crate::storage::verbs::protocol::Protocol::create`].
    pub async fn create_directory(
        &self,
        parent: &Handle,
        name: &str,
        wanted: Attributes,
    ) -> Result<Created<Handle>, RoundError> {
        let handle = match self.send(Call::MkDir(parent, name, initial_mode(wanted))).await? {
            Ok(Reply::Object(handle, _)) => handle.filter(has_valid_length),
            Ok(_) => return Err(self.incomplete()),
            Err(Status::EXIST) => return Ok(Created::Exists),
            // The parent was removed after the walk; or it is the root of the share, whose handle is not asked for in each walk.
            Err(Status::NOENT) => {
                self.server.forget_idle();
                return Err(RoundError::Retry(RetryReason::Changed(Status::NOENT)));
            }
            Err(status) => return Err(self.refused(Action::Make, status)),
        };
        self.partly_done(true);
        let made = self.finish(parent, name, handle, wanted).await;
        if let Ok(Created::New(_)) = made {
            self.partly_done(false);
        }
        // The verb begins again: a directory that exists then is the one that was just made.
        made.map_err(|error| match error {
            RoundError::Retry(_) => RoundError::Retry(RetryReason::Lost),
            failed @ RoundError::Failed(_) => failed,
        })
    }

    /// Sets the attributes of a directory that MKDIR has just made, or removes it.
    async fn finish(
        &self,
        parent: &Handle,
        name: &str,
        handle: Option<Handle>,
        wanted: Attributes,
    ) -> Result<Created<Handle>, RoundError> {
        let handle = match handle {
            Some(handle) => handle,
            None => self.look_up_existing(parent, name).await?.handle,
        };
        let error = match self.set(&handle, wanted).await? {
            Ok(found) => {
                let file = File {
                    is_directory: true,
                    found,
                    size: None,
                };
                return Ok(Created::New(file.with_handle(handle)));
            }
            Err(error) => error,
        };
        // Without its attributes the directory is useless. This call has just made it, so it may remove it.
        let identity = self.file(&handle, Action::Make).await?.found.identity;
        let gone = self.undo(parent, name, identity).await;
        self.partly_done(!gone);
        Err(self.wrong_attributes(&error))
    }

    /// Removes the directory that MKDIR made. Returns whether it is gone.
    async fn undo(&self, parent: &Handle, name: &str, made: Identity) -> bool {
        match self.look_up_in(parent, name).await {
            Ok(Some(object)) if object.found.identity == made => {}
            // Another directory has replaced it, and must stay.
            Ok(_) => return true,
            Err(_) => return false,
        }
        let undone = self.send(Call::RmDir(parent, name.as_bytes())).await;
        matches!(undone, Ok(Ok(_) | Err(Status::NOENT)))
    }

    /// See [`crate::storage::verbs::protocol::Protocol::set_attributes`].
    pub async fn set(&self, handle: &Handle, wanted: Attributes) -> Result<Result<Found, AttributeError>, RoundError> {
        let mut sent = None;
        for (action, change) in Change::all(wanted) {
            match self.send(Call::SetAttr(handle, change)).await? {
                Ok(Reply::File(file)) => sent = file,
                Ok(_) => return Err(self.incomplete()),
                Err(status) if AttributeError::Refused(action, status).mode_cannot_be_set() => {
                    return Box::pin(self.set(handle, after_refused_mode(wanted))).await;
                }
                Err(status) => return Ok(Err(AttributeError::Refused(action, status))),
            }
        }
        // Servers need not send the attributes.
        let file = match sent {
            Some(file) => file,
            None => self.file(handle, Action::SetMode).await?,
        };
        let found = file.found;
        Ok(AttributeError::check(&found, wanted).map(|()| found))
    }
}

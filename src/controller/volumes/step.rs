//! The input of every step of binding and cleanup.

use jiff::Timestamp;

use crate::controller::context::Context;
use crate::controller::leader::Leader;
use crate::model::directory::Directory;
use crate::model::volume::{Record, Volume};

/// One step for one volume.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The term of leadership that the step belongs to.
    pub leader: &'a Leader,
    /// The context of the leader.
    pub ctx: &'a Context,
    /// The volume as it was read.
    pub volume: &'a Volume,
    /// What the volume records about its directory.
    pub record: &'a Record,
}

impl<'a> Step<'a> {
    /// Creates a step for a volume and its record.
    pub fn new(leader: &'a Leader, volume: &'a Volume, record: &'a Record) -> Self {
        Self {
            leader,
            ctx: &leader.ctx,
            volume,
            record,
        }
    }

    /// Returns the directory as messages name it.
    pub fn directory(&self) -> String {
        format!("directory {} of share {}", self.record.directory, self.record.share)
    }

    /// Returns the path below a trash root to which the directory is renamed first.
    pub fn aside(&self) -> Directory {
        Directory::aside(&self.ctx.installation.instance, &self.volume.name, &self.volume.uid)
    }

    /// Returns the path of the directory in the trash, below a trash root.
    pub fn in_trash(&self) -> Directory {
        Directory::in_trash(&self.ctx.installation.instance, &self.volume.name, &self.volume.uid)
    }

    /// Returns the path of an archive of the directory, below a trash root.
    pub fn archive(&self, now: Timestamp, until: Option<Timestamp>) -> Directory {
        let tag = Directory::archive_tag(&self.ctx.installation.instance, &self.volume.name);
        let own_group = self.record.group_range.and(self.record.attributes.gid);
        self.record.directory.archive(now, &tag, own_group, until)
    }
}

//! The names that Bindery keeps for itself below a share: the trash, and archives.
//!
//! They carry all that is needed to find them again: whose they are, and until when an archive is kept. A directory
//! `team-a/data` becomes `archived-team-a-data-<UTC time>-<instance>-<volume>`, with `-until-<UTC time>` if it may go
//! some day; instance and volume are hashes of ten letters.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::check::{LONGEST_SEGMENT, check_segment};
use super::{ARCHIVED, Directory};

/// Where directories wait to be removed, below the share.
const TRASH: &str = ".bindery-trash";
/// In an archive's name, before the time from when on it may be removed.
const UNTIL: &str = "-until-";
/// `20261122T093000Z`.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// The letters of a name's hash.
const SHORT: usize = 10;

impl Directory {
    /// The folder of everything that waits to be removed.
    pub fn trash() -> Self {
        Self(TRASH.to_owned())
    }

    /// Where the directory of one volume of one instance waits to be removed: the same on every try.
    pub fn in_trash(instance: &str, volume: &str) -> Self {
        Self(format!("{TRASH}/{}", cut(&format!("{instance}.{volume}"))))
    }

    /// Where this directory goes when it is archived at `now`. `tag` tells one volume's archive from every other
    /// ([`Directory::is_archive_of`] finds it again); `until` says from when on it may be removed.
    pub fn archive(&self, now: Timestamp, tag: &str, until: Option<Timestamp>) -> Self {
        let until = until.map_or_else(String::new, |until| format!("{UNTIL}{}", stamp(until)));
        let rest = format!("-{}-{tag}{until}", stamp(now));
        let room = LONGEST_SEGMENT.saturating_sub(ARCHIVED.len() + rest.len());
        let flat = cut_to(&self.0.replace('/', "-"), room);
        Self(format!("{ARCHIVED}{flat}{rest}"))
    }

    /// What tells one volume's archive from all others, of this instance or another. The first half is the instance's.
    pub fn archive_tag(instance: &str, volume: &str) -> String {
        format!("{}-{}", short(instance), short(&format!("{instance}/{volume}")))
    }

    /// Whether a name found below the share is the archive that `tag` belongs to.
    pub fn is_archive_of(name: &str, tag: &str) -> bool {
        let (rest, _) = split_until(name);
        rest.starts_with(ARCHIVED) && rest.strip_suffix(tag).is_some_and(|rest| rest.ends_with('-'))
    }

    /// An archive of this instance that may be removed from some time on, and that time, both read from a name found
    /// below a share and from nothing else. `None` for every other name.
    pub fn expiring(name: &str, instance: &str) -> Option<(Self, Timestamp)> {
        let (rest, Some(until)) = split_until(name) else {
            return None;
        };
        let rest = rest.strip_prefix(ARCHIVED)?;
        let (rest, volume) = rest.rsplit_once('-')?;
        let (rest, theirs) = rest.rsplit_once('-')?;
        let (_, made) = rest.rsplit_once('-')?;
        let tag = |text: &str| text.len() == SHORT && text.bytes().all(|c| c.is_ascii_hexdigit());
        let ours = theirs == short(instance) && tag(volume) && time(made).is_some() && check_segment(name).is_ok();
        ours.then(|| (Self(name.to_owned()), until))
    }

    /// A name found in the trash, if it is this instance's: the place, and the volume (or archive) that it is from. A name
    /// that had to be cut names none that is there any more.
    pub fn left_in_trash<'a>(name: &'a str, instance: &str) -> Option<(Self, &'a str)> {
        let owner = name.strip_prefix(instance)?.strip_prefix('.')?;
        let ours = !owner.is_empty() && check_segment(name).is_ok();
        ours.then(|| (Self(format!("{TRASH}/{name}")), owner))
    }

    /// Whether this is an archive that is kept for ever.
    pub fn lasts(&self) -> bool {
        let (_, name) = self.split_last();
        Self::tag_of(name).is_some() && split_until(name).1.is_none()
    }

    /// The tag in an archive's name ([`Directory::archive_tag`]); `None` for a name that is too short to have one.
    pub fn tag_of(name: &str) -> Option<&str> {
        let (rest, _) = split_until(name);
        let start = rest.len().checked_sub(2 * SHORT + 1)?;
        rest.starts_with(ARCHIVED).then(|| rest.get(start..)).flatten()
    }

    /// Where such an archive waits to be removed.
    pub fn archive_in_trash(&self, instance: &str) -> Self {
        Self::in_trash(instance, &self.0)
    }
}

/// UTC, without a character that a shell minds.
fn stamp(time: Timestamp) -> String {
    time.strftime(STAMP).to_string()
}

fn time(stamp: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// An archive's name without its end, and the end if there is one.
fn split_until(name: &str) -> (&str, Option<Timestamp>) {
    let ends = name
        .rsplit_once(UNTIL)
        .and_then(|(rest, until)| Some((rest, time(until)?)));
    ends.map_or((name, None), |(rest, until)| (rest, Some(until)))
}

fn short(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string()[..SHORT].to_owned()
}

pub(super) fn cut(name: &str) -> String {
    cut_to(name, LONGEST_SEGMENT)
}

/// Cuts a name to `room` bytes; what is cut off lives on as a hash, so that two long names stay two.
fn cut_to(name: &str, room: usize) -> String {
    if name.len() <= room {
        return name.to_owned();
    }
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string();
    let hash = &hash[..12];
    let mut end = room.saturating_sub(hash.len() + 1);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{hash}", &name[..end])
}

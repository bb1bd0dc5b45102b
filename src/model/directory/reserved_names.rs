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
/// Ends the name of what is on its way out and may not be removed yet.
const ASIDE: &str = ".aside";
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

    /// Where the directory of one volume object waits to be removed. The uid keeps it apart from what an earlier volume of
    /// that name has left.
    pub fn in_trash(instance: &str, volume: &str, uid: &str) -> Self {
        Self(format!("{TRASH}/{}", of_volume(instance, volume, uid)))
    }

    /// Where the directory of one volume object lies between its path and the trash, or its archive. Nothing is removed
    /// there.
    pub fn aside(instance: &str, volume: &str, uid: &str) -> Self {
        Self(format!("{TRASH}/{}{ASIDE}", of_volume(instance, volume, uid)))
    }

    /// Where a version of Bindery that did not name the uid moved the directory of a volume.
    pub fn in_trash_without_uid(instance: &str, volume: &str) -> Self {
        Self(format!("{TRASH}/{}", cut(&format!("{instance}.{volume}"))))
    }

    /// Reads a place that was recorded on a volume: an archive, or one in the trash. `None` for every other path.
    pub fn recorded(path: &str) -> Option<Self> {
        let place = Self(path.to_owned());
        let (parents, last) = place.split_last();
        let is_own = parents.last() == Some(&TRASH) || last.starts_with(ARCHIVED);
        let is_path = place.segments().all(|segment| check_segment(segment).is_ok());
        (is_own && is_path).then_some(place)
    }

    /// A name of one segment that is not too long, and ends in `end` as `name` does: what stands before that is cut.
    pub fn fit(name: &str, end: &str) -> String {
        let front = name.strip_suffix(end).unwrap_or(name);
        let end = &name[front.len()..];
        format!("{}{end}", cut_to(front, LONGEST_SEGMENT.saturating_sub(end.len())))
    }

    /// Where this directory goes when it is archived at `now`. `tag` tells one volume's archive from every other
    /// ([`Directory::tag_of`] reads it); `until` says from when on it may be removed.
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

    /// An archive of this instance that may be removed from some time on, and that time, both read from a name found
    /// below a share and from nothing else. `None` for every other name.
    pub fn expiring(name: &str, instance: &str) -> Option<(Self, Timestamp)> {
        let Archive {
            times,
            instance: theirs,
        } = read_archive(name)?;
        let (_, Some(until)) = times else { return None };
        let ours = theirs == short(instance) && check_segment(name).is_ok();
        ours.then(|| (Self(name.to_owned()), until))
    }

    /// When this archive was made, and until when it is kept (`None`: for ever). `None` if it is no archive.
    pub fn archive_times(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let (_, name) = self.split_last();
        read_archive(name).map(|archive| archive.times)
    }

    /// Whether this is an archive that is kept for ever.
    pub fn lasts(&self) -> bool {
        self.archive_times().is_some_and(|(_, until)| until.is_none())
    }

    /// Whether it lies in the trash.
    pub fn is_in_trash(&self) -> bool {
        self.split_last().0.last() == Some(&TRASH)
    }

    /// The tag in an archive's name ([`Directory::archive_tag`]); `None` for a name that is too short to have one.
    pub fn tag_of(name: &str) -> Option<&str> {
        let (rest, _) = split_until(name);
        let start = rest.len().checked_sub(2 * SHORT + 1)?;
        rest.starts_with(ARCHIVED).then(|| rest.get(start..)).flatten()
    }

    /// The archive of what was found aside at `place` when its volume was gone. What its path was is not known any more.
    pub fn unclaimed(place: &Self, now: Timestamp, instance: &str) -> Self {
        let (_, name) = place.split_last();
        let owner = InTrash::read(name, instance).map_or(name, |found| found.owner);
        Self(owner.to_owned()).archive(now, &Self::archive_tag(instance, owner), None)
    }

    /// Where such an archive waits to be removed.
    pub fn archive_in_trash(&self, instance: &str) -> Self {
        Self::in_trash_without_uid(instance, &self.0)
    }
}

/// A name found in the trash that is this instance's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTrash<'a> {
    /// Where it lies, below the directory that the trash is in.
    pub place: Directory,
    /// The volume that it is from, cut as it is in the name; or the archive.
    pub owner: &'a str,
    /// Which object of that name it is from. None for an archive, and in names that older versions made.
    pub uid: Option<&'a str>,
    /// It is on its way: nothing has said yet that it may be removed.
    pub aside: bool,
}

impl<'a> InTrash<'a> {
    /// Reads a name found in the trash; `None` if it is not this instance's.
    pub fn read(name: &'a str, instance: &str) -> Option<Self> {
        let rest = name.strip_prefix(instance)?.strip_prefix('.')?;
        if rest.is_empty() || check_segment(name).is_err() {
            return None;
        }
        let (of_volume, aside) = match rest.strip_suffix(ASIDE) {
            Some(of_volume) => (of_volume, true),
            None => (rest, false),
        };
        let split = of_volume.rsplit_once('.');
        let new = split.filter(|(owner, uid)| !owner.is_empty() && Uuid::try_parse(uid).is_ok());
        Some(Self {
            place: Directory(format!("{TRASH}/{name}")),
            owner: new.map_or(rest, |(owner, _)| owner),
            uid: new.map(|(_, uid)| uid),
            aside: aside && new.is_some(),
        })
    }
}

/// What an archive's name says.
struct Archive<'a> {
    times: (Timestamp, Option<Timestamp>),
    /// The instance, as a hash.
    instance: &'a str,
}

fn read_archive(name: &str) -> Option<Archive<'_>> {
    let (rest, until) = split_until(name);
    let rest = rest.strip_prefix(ARCHIVED)?;
    let (rest, volume) = rest.rsplit_once('-')?;
    let (rest, instance) = rest.rsplit_once('-')?;
    let (_, made) = rest.rsplit_once('-')?;
    let is_hash = |text: &str| text.len() == SHORT && text.bytes().all(|c| c.is_ascii_hexdigit());
    let times = (time(made)?, until);
    (is_hash(volume) && is_hash(instance)).then_some(Archive { times, instance })
}

/// The uid is never cut.
fn of_volume(instance: &str, volume: &str, uid: &str) -> String {
    let room = LONGEST_SEGMENT.saturating_sub(ASIDE.len() + uid.len() + 1);
    format!("{}.{uid}", cut_to(&format!("{instance}.{volume}"), room))
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

//! The names below a share that are reserved for Bindery: trash and archives.
//!
//! A name identifies its volume and, for an archive, contains the time until which it is kept. A
//! directory `team-a/data` becomes `archived-team-a-data-<UTC time>-<instance>-<volume>`, with `-gid-<number>` if the
//! volume had a group of its own, and with `-until-<UTC time>` if it may be removed at some time; instance and volume
//! are hashes of ten letters.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::check::{LONGEST_SEGMENT, check_segment};
use super::{ARCHIVED, Directory, RESERVED};

/// The trash: directories below it are waiting to be removed.
const TRASH: &str = ".bindery-trash";
/// The name, after [`RESERVED`], of the directory of one run of `bindery check --server`, before the name of the run.
const CHECK: &str = "check-";
/// The suffix of a directory that was moved aside and may not be removed yet.
const ASIDE: &str = ".aside";
/// In an archive's name, the text before the time from which it may be removed.
const UNTIL: &str = "-until-";
/// In an archive's name, the text before the group, if no other volume may have that group.
const GROUP: &str = "-gid-";
/// The format of a time, such as `20261122T093000Z`.
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// The length of the hash of a name, in letters.
const SHORT: usize = 10;

impl Directory {
    /// The trash directory.
    pub fn trash() -> Self {
        Self(TRASH.to_owned())
    }

    /// The directory of one run of `bindery check --server`. The run has a name of its own, so no other program uses it.
    pub fn of_check(run: Uuid) -> Self {
        Self(format!("{RESERVED}{CHECK}{}", run.simple()))
    }

    /// A directory inside the one of that run.
    pub fn in_check(run: Uuid, path: &'static str) -> Self {
        Self(format!("{}/{path}", Self::of_check(run)))
    }

    /// Whether a name in the root of a share is that of the directory of a run of `bindery check --server`.
    pub fn is_of_check(name: &str) -> bool {
        name.strip_prefix(RESERVED).is_some_and(|rest| rest.starts_with(CHECK))
    }

    /// The path in the trash for the directory of one volume object. The uid separates it from the directory of an
    /// earlier volume of that name.
    pub fn in_trash(instance: &str, volume: &str, uid: &str) -> Self {
        Self(format!("{TRASH}/{}", of_volume(instance, volume, uid)))
    }

    /// The path to which the directory of one volume object is moved first, before it is moved to the trash or becomes an
    /// archive. Bindery removes nothing there.
    pub fn aside(instance: &str, volume: &str, uid: &str) -> Self {
        Self(format!("{TRASH}/{}{ASIDE}", of_volume(instance, volume, uid)))
    }

    /// The path in the trash without a uid: for an archive that is to be removed, and in earlier versions of Bindery for
    /// the directory of a volume.
    pub fn in_trash_without_uid(instance: &str, name: &str) -> Self {
        Self(format!("{TRASH}/{}", cut(&format!("{instance}.{name}"))))
    }

    /// Reads a path that was recorded on a volume: an archive, or a path in the trash. `None` for any other path.
    pub fn recorded(path: &str) -> Option<Self> {
        let place = Self(path.to_owned());
        let (parents, last) = place.split_last();
        let is_own = parents.last() == Some(&TRASH) || last.starts_with(ARCHIVED);
        let is_path = place.segments().all(|segment| check_segment(segment).is_ok());
        (is_own && is_path).then_some(place)
    }

    /// Shortens a name of one segment to the allowed length. The suffix `end` is kept; the text before it is cut.
    pub fn fit(name: &str, end: &str) -> String {
        let front = name.strip_suffix(end).unwrap_or(name);
        let end = &name[front.len()..];
        format!("{}{end}", cut_to(front, LONGEST_SEGMENT.saturating_sub(end.len())))
    }

    /// The path of the archive of this directory, made at `now`. `tag` distinguishes the archives of all volumes
    /// ([`ArchiveName::tag`] reads it); `own_group` is the group that no other volume has; `until` is the time from which
    /// the archive may be removed.
    pub fn archive(&self, now: Timestamp, tag: &str, own_group: Option<u32>, until: Option<Timestamp>) -> Self {
        let key = format!("{}-{tag}", stamp(now));
        Self(archive_name(&self.0.replace('/', "-"), &key, own_group, until))
    }

    /// The path of this archive after the time until which it is kept was changed. `None` if this is not an archive.
    pub fn with_expiry(&self, until: Option<Timestamp>) -> Option<Self> {
        let (parents, name) = self.split_last();
        let archive = read_archive(name)?;
        let name = archive_name(archive.flat, archive.key, archive.own_group, until);
        Some(Self(parents.into_iter().chain([&*name]).collect::<Vec<_>>().join("/")))
    }

    /// The tag that distinguishes the archive of one volume from all others, of this and other instances: a hash of the
    /// instance, and a hash of the instance and the volume.
    pub fn archive_tag(instance: &str, volume: &str) -> String {
        format!("{}-{}", short(instance), short(&format!("{instance}/{volume}")))
    }

    /// The time when this archive was made, and the time until which it is kept (`None`: forever). `None` if this is not an
    /// archive.
    pub fn archive_times(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        let (_, name) = self.split_last();
        read_archive(name).map(|archive| (archive.made, archive.until))
    }

    /// The group in an archive's name, of any instance. No volume may get this group.
    pub fn group_of_archive(name: &str) -> Option<u32> {
        read_archive(name)?.own_group
    }

    /// Whether a name has the full form of an archive's name, of any instance.
    pub(super) fn is_archive_name(name: &str) -> bool {
        read_archive(name).is_some()
    }

    /// Whether this is an archive that is kept forever.
    pub fn is_kept_forever(&self) -> bool {
        self.archive_times().is_some_and(|(_, until)| until.is_none())
    }

    /// The path of the archive for a directory that was found moved aside, at `place`, after its volume was gone. The name
    /// contains the volume's name, because the former path is not known.
    pub fn archive_of_aside(place: &Self, now: Timestamp, instance: &str, own_group: Option<u32>) -> Self {
        let (_, name) = place.split_last();
        let owner = InTrash::read(name, instance).map_or(name, |found| found.owner);
        Self(owner.to_owned()).archive(now, &Self::archive_tag(instance, owner), own_group, None)
    }
}

/// A name found in the trash that belongs to this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTrash<'a> {
    /// Its path, relative to the directory that contains the trash.
    pub place: Directory,
    /// The name of the volume, cut as in the path; or the name of the archive.
    pub owner: &'a str,
    /// The uid of the volume. `None` for an archive, and in names from earlier versions.
    pub uid: Option<&'a str>,
    /// Whether the directory was only moved aside: it may not be removed yet.
    pub aside: bool,
}

impl<'a> InTrash<'a> {
    /// Reads a name found in the trash; `None` if it does not belong to this instance.
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

/// What the name of an archive says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveName<'a> {
    /// The directory, with dashes instead of slashes; it may be cut.
    pub flat: &'a str,
    /// The part that identifies the archive: the time when it was made, and the tag of its volume. It does not change with
    /// the expiry, and a label can have this value.
    pub key: &'a str,
    /// When the archive was made.
    pub made: Timestamp,
    /// The time until which it is kept; `None`: forever.
    pub until: Option<Timestamp>,
    /// The group that no other volume has.
    pub own_group: Option<u32>,
    /// The hash of the instance.
    instance: &'a str,
}

impl<'a> ArchiveName<'a> {
    /// Reads a name. `None` unless it is an archive of this instance.
    pub fn read(name: &'a str, instance: &str) -> Option<Self> {
        let archive = read_archive(name)?;
        (archive.instance == short(instance) && check_segment(name).is_ok()).then_some(archive)
    }

    /// The tag of its volume ([`Directory::archive_tag`]).
    pub fn tag(&self) -> &'a str {
        self.key.split_once('-').map_or("", |(_, tag)| tag)
    }

    /// Whether it is an archive of this volume.
    pub fn is_of(&self, instance: &str, volume: &str) -> bool {
        self.tag() == Directory::archive_tag(instance, volume)
    }
}

fn read_archive(name: &str) -> Option<ArchiveName<'_>> {
    let (rest, until) = split_until(name);
    let (rest, own_group) = split_group(rest);
    let whole = rest.strip_prefix(ARCHIVED)?;
    let (rest, volume) = whole.rsplit_once('-')?;
    let (rest, instance) = rest.rsplit_once('-')?;
    let (flat, made) = rest.rsplit_once('-')?;
    let is_hash = |text: &str| text.len() == SHORT && text.bytes().all(|c| c.is_ascii_hexdigit());
    let made = time(made)?;
    (is_hash(volume) && is_hash(instance)).then_some(ArchiveName {
        flat,
        key: &whole[flat.len() + 1..],
        made,
        until,
        own_group,
        instance,
    })
}

/// The name of an archive. The directory is cut if the name would be too long.
fn archive_name(flat: &str, key: &str, own_group: Option<u32>, until: Option<Timestamp>) -> String {
    let group = own_group.map_or_else(String::new, |gid| format!("{GROUP}{gid}"));
    let until = until.map_or_else(String::new, |until| format!("{UNTIL}{}", stamp(until)));
    let rest = format!("-{key}{group}{until}");
    let room = LONGEST_SEGMENT.saturating_sub(ARCHIVED.len() + rest.len());
    format!("{ARCHIVED}{}{rest}", cut_to(flat, room))
}

/// The name of a volume object in the trash. The uid is never cut.
fn of_volume(instance: &str, volume: &str, uid: &str) -> String {
    let room = LONGEST_SEGMENT.saturating_sub(ASIDE.len() + uid.len() + 1);
    format!("{}.{uid}", cut_to(&format!("{instance}.{volume}"), room))
}

/// The text of a time in UTC, without characters that are special in a shell.
fn stamp(time: Timestamp) -> String {
    time.strftime(STAMP).to_string()
}

fn time(stamp: &str) -> Option<Timestamp> {
    let time = jiff::civil::DateTime::strptime(STAMP, stamp).ok()?;
    time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp())
}

/// An archive's name without the time until which it is kept, and that time if there is one.
fn split_until(name: &str) -> (&str, Option<Timestamp>) {
    let ends = name
        .rsplit_once(UNTIL)
        .and_then(|(rest, until)| Some((rest, time(until)?)));
    ends.map_or((name, None), |(rest, until)| (rest, Some(until)))
}

/// The rest of an archive's name without the group, and the group if there is one.
fn split_group(name: &str) -> (&str, Option<u32>) {
    let ends = name
        .rsplit_once(GROUP)
        .and_then(|(rest, gid)| Some((rest, gid.parse().ok()?)));
    ends.map_or((name, None), |(rest, gid)| (rest, Some(gid)))
}

fn short(name: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).simple().to_string()[..SHORT].to_owned()
}

pub(super) fn cut(name: &str) -> String {
    cut_to(name, LONGEST_SEGMENT)
}

/// Cuts a name to `room` bytes. A hash replaces the text that is cut off, so that two long names stay different.
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

//! Names of archives and of directories in the trash: each contains its volume and its times. Other names are not read as
//! such names.

use super::*;

/// Returns the tag in the name of an archive of `blue`.
fn tag_in(name: &str) -> Option<&str> {
    ArchiveName::read(name, "blue").map(|archive| archive.tag())
}

/// Returns until when an archive of an instance is kept. `None` if it does not expire, or is none.
fn expiry_in(name: &str, instance: &str) -> Option<Timestamp> {
    ArchiveName::read(name, instance)?.until
}

#[test]
fn an_archive_has_the_tag_of_its_volume_only() {
    let tag = Directory::archive_tag("blue", "pvc-1");
    let archive = Directory::parse("team-a/data")
        .unwrap()
        .archive(now(), &tag, None, None);
    assert_eq!(archive.as_str(), format!("archived-team-a-data-20260101T000000Z-{tag}"));
    assert_eq!(tag_in(archive.as_str()), Some(&*tag));
    for (instance, volume) in [("blue", "pvc-2"), ("green", "pvc-1")] {
        assert_ne!(
            tag_in(archive.as_str()),
            Some(&*Directory::archive_tag(instance, volume))
        );
    }
}

#[test]
fn only_an_archive_of_this_instance_with_a_time_limit_expires() {
    let archive = |instance: &str, until| {
        let tag = Directory::archive_tag(instance, "pvc-1");
        Directory::parse("team-a/x-until-20200101T000000Z")
            .unwrap()
            .archive(now(), &tag, None, until)
            .to_string()
    };
    let until: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let ours = archive("blue", Some(until));
    assert!(ours.ends_with("-until-20260301T120000Z"), "{ours}");
    assert_eq!(tag_in(&ours), Some(&*Directory::archive_tag("blue", "pvc-1")));
    assert_eq!(expiry_in(&ours, "blue"), Some(until));

    assert_eq!(expiry_in(&ours, "green"), None, "an archive of another instance");
    assert_eq!(expiry_in(&archive("blue", None), "blue"), None, "kept forever");
    for changed in [
        ours.replace("archived-", "Archived-"),
        ours.replace("20260301T", "2026-03-01T"),
        ours.replace("20260301T", "20261301T"),
        ours.replace("-20260101T000000Z-", "-x-"),
        format!("{ours}.bak"),
        "archived-x-until-20260301T120000Z".to_owned(),
        "until-20260301T120000Z".to_owned(),
    ] {
        assert_eq!(expiry_in(&changed, "blue"), None, "{changed}");
    }
}

#[test]
fn a_name_in_the_trash_has_volume_uid_and_state() {
    let read = |place: &Directory| {
        let name = place.split_last().1;
        let found = InTrash::read(name, "blue").unwrap();
        assert_eq!(found.place, *place);
        (found.owner.to_owned(), found.uid.map(str::to_owned), found.aside)
    };
    for volume in ["pvc-1", "a.b", "pvc-1.aside"] {
        let new = (volume.to_owned(), Some(UID.to_owned()));
        let expected = |aside| (new.0.clone(), new.1.clone(), aside);
        assert_eq!(read(&Directory::in_trash("blue", volume, UID)), expected(false));
        assert_eq!(read(&Directory::aside("blue", volume, UID)), expected(true));
        let old = Directory::in_trash_without_uid("blue", volume);
        assert_eq!(read(&old), (volume.to_owned(), None, false));
    }
    let tag = Directory::archive_tag("blue", "pvc-1");
    let archive = Directory::parse("data")
        .unwrap()
        .archive(now(), &tag, None, Some(now()));
    assert_eq!(
        read(&Directory::in_trash_without_uid("blue", archive.as_str())),
        (archive.to_string(), None, false)
    );
}

#[test]
fn names_of_another_instance_in_the_trash_are_ignored() {
    let trash = Directory::in_trash("blue", "pvc-1", UID);
    let name = trash.split_last().1;
    for (name, instance) in [
        (name, "green"),
        (name, "blu"),
        ("blue", "blue"),
        ("blue.", "blue"),
        ("blue-2.x", "blue"),
    ] {
        assert_eq!(InTrash::read(name, instance), None, "{name} of {instance}");
    }
}

#[test]
fn the_uid_is_never_cut() {
    for volume in ["x".repeat(253), "x".repeat(175), "x".repeat(174)] {
        for place in [
            Directory::in_trash("blue", &volume, UID),
            Directory::aside("blue", &volume, UID),
        ] {
            let name = place.split_last().1;
            assert!(name.len() <= 255, "{name}");
            assert_eq!(InTrash::read(name, "blue").unwrap().uid, Some(UID));
        }
    }
}

#[test]
fn only_trash_and_archives_are_accepted_as_recorded_paths() {
    let above = TrashRoot::above(&Directory::parse("disk/team/data").unwrap()).unwrap();
    let tag = Directory::archive_tag("blue", "pvc-1");
    let archive = Directory::parse("disk/team/data")
        .unwrap()
        .archive(now(), &tag, None, None);
    for own in [Directory::in_trash("blue", "pvc-1", UID), archive] {
        for place in [own.clone(), above.place(&own)] {
            assert_eq!(Directory::recorded(place.as_str()), Some(place.clone()));
        }
    }
    for other in [
        "",
        "data",
        "team/data",
        "../archived-x",
        "/.bindery-trash/x",
        ".bindery-trash",
        ".bindery-trash/..",
    ] {
        assert_eq!(Directory::recorded(other), None, "{other}");
    }
}

#[test]
fn the_times_in_an_archive_name_are_read() {
    let tag = Directory::archive_tag("blue", "pvc-1");
    let directory = Directory::parse("a-until-20200101T000000Z").unwrap();
    let until: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    for until in [None, Some(until)] {
        let archive = directory.archive(now(), &tag, None, until);
        assert_eq!(archive.archive_times(), Some((now(), until)));
        assert_eq!(archive.is_kept_forever(), until.is_none());
    }
    assert_eq!(Directory::in_trash("blue", "pvc-1", UID).archive_times(), None);
}

#[test]
fn archives_and_trash_paths_are_unique() {
    let long = "x".repeat(254);
    let tag = Directory::archive_tag("blue", "pvc-1");
    let archive = |name: &str| {
        Directory::parse(name)
            .unwrap()
            .archive(now(), &tag, None, None)
            .to_string()
    };
    assert_ne!(archive(&format!("{long}a")), archive(&format!("{long}b")));
    assert_ne!(
        Directory::in_trash("blue", &format!("{long}a"), UID),
        Directory::in_trash("blue", &format!("{long}b"), UID)
    );
    assert_ne!(
        Directory::in_trash("blue", "pvc-1", UID),
        Directory::in_trash("green", "pvc-1", UID)
    );
}

#[test]
fn the_name_of_an_archive_says_what_it_is() {
    let until: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let tag = Directory::archive_tag("blue", "pvc-1");
    for (group, until) in [
        (None, None),
        (Some(50_000), None),
        (None, Some(until)),
        (Some(7), Some(until)),
    ] {
        let archive = Directory::parse("team-a/data")
            .unwrap()
            .archive(now(), &tag, group, until);
        let name = ArchiveName::read(archive.as_str(), "blue").unwrap();
        assert_eq!(
            (name.flat, name.made, name.until, name.own_group),
            ("team-a-data", now(), until, group)
        );
        assert_eq!(name.key, format!("20260101T000000Z-{tag}"));
        assert!(name.is_of("blue", "pvc-1") && !name.is_of("blue", "pvc-2"));
        assert_eq!(name.tag(), tag);
        assert!(crate::model::names::is_label_value(name.key));
        assert_eq!(
            ArchiveName::read(archive.as_str(), "green"),
            None,
            "an archive of another instance"
        );
    }
}

#[test]
fn a_changed_expiry_changes_nothing_else_in_the_name() {
    let until: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let tag = Directory::archive_tag("blue", "pvc-1");
    for directory in ["data", &"a".repeat(255), &"ä/".repeat(15).repeat(8)] {
        let directory = Directory(directory.trim_end_matches('/').to_owned());
        for group in [None, Some(50_000)] {
            let forever = directory.archive(now(), &tag, group, None);
            let limited = directory.archive(now(), &tag, group, Some(until));
            for (before, after) in [
                (&forever, Some(until)),
                (&limited, None),
                (&limited, Some(now())),
                (&forever, None),
            ] {
                let changed = before.with_expiry(after).unwrap();
                let name = ArchiveName::read(changed.as_str(), "blue").unwrap();
                assert_eq!(
                    (name.until, name.own_group, name.made),
                    (after, group, now()),
                    "{changed}"
                );
                assert_eq!(tag_in(changed.as_str()), Some(&*tag));
                assert!(changed.as_str().len() <= 255, "{changed}");
                assert_eq!(changed.with_expiry(after).unwrap(), changed, "a repeated change");
            }
            assert_eq!(forever.with_expiry(None).unwrap(), forever);
        }
    }
    let root = TrashRoot::above(&Directory("other/data".to_owned())).unwrap();
    let below = root.place(&Directory("data".to_owned()).archive(now(), &tag, None, None));
    let changed = below.with_expiry(Some(until)).unwrap();
    assert_eq!(changed.as_str(), format!("{below}-until-20260301T120000Z"));
    assert_eq!(Directory("data".to_owned()).with_expiry(None), None);
}

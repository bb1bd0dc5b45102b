//! The names of the objects of archives.

use jiff::Timestamp;
use uuid::Uuid;

/// The length of a DNS label.
const LONGEST: usize = 63;
/// The number of letters that distinguish two archives of one claim and one second.
const SUFFIX: usize = 8;

/// The name of the object of an archive: the claim, the time, and letters from a hash of `seed`, which only this archive
/// has. The same input gives the same name. It is a DNS label; a long name of a claim is cut.
pub fn object_name(claim: &str, made: Timestamp, seed: &str) -> String {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, seed.as_bytes()).simple().to_string();
    let end = format!("{}-{}", made.strftime("%Y%m%dt%H%M%Sz"), &hash[..SUFFIX]);
    let letters = claim.chars().map(|letter| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9') => letter,
        _ => '-',
    });
    let front: String = letters.take(LONGEST - end.len() - 1).collect();
    match front.trim_matches('-') {
        "" => format!("archive-{end}"),
        front => format!("{front}-{end}"),
    }
}

/// The name of the volume that gets the directory of an archive. It is the same in each attempt and for each claim, so the API
/// server refuses a second volume of one archive. `key` is the part of the archive's name on the share that never changes.
pub fn restored_volume(key: &str) -> String {
    let archive = format!("archive:{key}");
    format!("pvc-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, archive.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::is_object_name;

    fn made() -> Timestamp {
        "2026-11-28T16:31:15Z".parse().unwrap()
    }

    #[test]
    fn a_name_has_the_claim_the_time_and_a_hash() {
        assert_eq!(object_name("data", made(), "uid-1"), "data-20261128t163115z-70aee2e6");
        assert_ne!(
            object_name("data", made(), "uid-1"),
            object_name("data", made(), "uid-2")
        );
    }

    #[test]
    fn every_name_is_a_dns_label() {
        for claim in [
            "data",
            "my.data.x",
            "1",
            &"a".repeat(253),
            &format!("{}.b", "a".repeat(35)),
            "-",
            "",
            "Ünïcode~1a2b",
            "team_a",
        ] {
            let name = object_name(claim, made(), "uid");
            assert!(
                name.len() <= LONGEST && !name.contains('.') && is_object_name(&name),
                "{claim}: {name}"
            );
        }
        assert_eq!(object_name("", made(), "uid-1"), "archive-20261128t163115z-70aee2e6");
        let long = object_name(&"a".repeat(253), made(), "uid-1");
        assert_eq!(long, format!("{}-20261128t163115z-70aee2e6", "a".repeat(37)));
    }
}

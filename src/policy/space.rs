//! Decides whether a new claim gets its volume, by the space of its share: `freeSpace` and `sizeLimit` of its class.

use crate::model::choices::FreeSpace;
use crate::model::directory::{Directory, Share};
use crate::model::space::{Space, size};
use crate::model::volume::NewVolume;

/// Returns the sentence that refuses a claim whose class has `freeSpace: require`, if it requests more than what is free, or
/// if the server does not tell that.
pub fn free_space_refusal(new: &NewVolume, space: Option<Space>) -> Option<String> {
    let (share, class, request) = (&new.share, &new.class, &new.capacity);
    if new.free_space == FreeSpace::Ignore {
        return None;
    }
    let Some(space) = space else {
        return Some(format!(
            "the server does not tell how much space is free in share {share}, and StorageClass {class} has freeSpace: \
             require; choose another StorageClass, or let an administrator set freeSpace: ignore in this one"
        ));
    };
    (request.bytes > u128::from(space.available)).then(|| {
        format!(
            "the claim requests {}, and of {} in share {share} only {} are free (StorageClass {class} has freeSpace: \
             require); request less, free space on the server, or choose another StorageClass",
            request.written,
            size(space.total),
            size(space.available)
        )
    })
}

/// Returns the size to which the server limits a directory, if it has a limit of its own: then the server reports a smaller
/// size for the directory than for its share. Less than 1 % is not a limit: the size of ZFS changes from one call to the
/// next.
pub fn limit(share: Option<Space>, directory: Option<Space>) -> Option<u64> {
    let (share, directory) = (share?.total, directory?.total);
    (directory < share - share / 100).then_some(directory)
}

/// Returns the sentence that refuses a claim whose class has `sizeLimit: require`, if its directory has no limit.
pub fn size_limit_refusal(share: &Share, directory: &Directory, class: &str, limit: Option<u64>) -> Option<String> {
    limit.is_none().then(|| {
        format!(
            "directory {} of share {share} has no size limit of its own on the server, and StorageClass {class} has \
             sizeLimit: require; let an administrator set up a quota there that every new directory gets (a project quota, \
             a qtree), or choose another StorageClass",
            directory.shown()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixtures::new_volume;

    fn space(total: u64, available: u64) -> Space {
        Space {
            total,
            available,
            files: None,
        }
    }

    fn volume(free_space: FreeSpace) -> NewVolume {
        NewVolume {
            free_space,
            ..new_volume("team-a/data")
        }
    }

    #[test]
    fn a_claim_must_fit_into_the_free_space_if_its_class_requires_that() {
        let ignored = volume(FreeSpace::Ignore);
        let required = volume(FreeSpace::Require);
        for (free, fits) in [(1 << 30, true), ((1 << 30) - 1, false), (0, false)] {
            let space = Some(space(10 << 30, free));
            assert_eq!(free_space_refusal(&ignored, space), None);
            assert_eq!(free_space_refusal(&required, space).is_none(), fits, "{free}");
        }
        assert_eq!(free_space_refusal(&ignored, None), None);
        assert_eq!(
            free_space_refusal(&required, Some(space(10 << 30, 512 << 20))).unwrap(),
            "the claim requests 1Gi, and of 10.0 GiB in share nas1:/export only 512.0 MiB are free (StorageClass fast has \
             freeSpace: require); request less, free space on the server, or choose another StorageClass"
        );
        assert_eq!(
            free_space_refusal(&required, None).unwrap(),
            "the server does not tell how much space is free in share nas1:/export, and StorageClass fast has freeSpace: \
             require; choose another StorageClass, or let an administrator set freeSpace: ignore in this one"
        );
    }

    #[test]
    fn a_directory_that_is_smaller_than_its_share_has_a_limit() {
        assert_eq!(limit(Some(space(100, 50)), Some(space(10, 10))), Some(10));
        for same in [100, 99, 101, 200] {
            assert_eq!(limit(Some(space(100, 50)), Some(space(same, 40))), None, "{same}");
        }
        assert_eq!(limit(Some(space(100, 50)), Some(space(98, 40))), Some(98));
        assert_eq!(limit(None, Some(space(10, 10))), None);
        assert_eq!(limit(Some(space(100, 50)), None), None);
    }

    #[test]
    fn a_directory_must_have_a_limit_if_its_class_requires_that() {
        let volume = new_volume("team-a/data");
        let refusal = |limit| size_limit_refusal(&volume.share, &volume.directory, &volume.class, limit);
        assert_eq!(refusal(Some(10)), None);
        assert_eq!(
            refusal(None).unwrap(),
            "directory team-a/data of share nas1:/export has no size limit of its own on the server, and StorageClass fast \
             has sizeLimit: require; let an administrator set up a quota there that every new directory gets (a project \
             quota, a qtree), or choose another StorageClass"
        );
    }
}

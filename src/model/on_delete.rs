//! What happens to a directory when its claim is gone, as `onDelete` or `archiveOnDelete`.
//!
//! `onDelete: archive` and `archiveOnDelete: "true"` mean the same. If one object sets both, `onDelete` wins, as in
//! csi-driver-nfs and nfs-subdir-external-provisioner.

use super::choices::{NotAllowed, choices};
use super::invalid::Invalid;

choices! {
    /// What happens to a directory when its claim is gone.
    OnDelete, allowed: "delete, retain or archive", {
        /// It is removed with all its files.
        Delete = "delete",
        /// It stays where it is.
        Retain = "retain",
        /// It is renamed to `archived-...` and kept.
        Archive = "archive",
    }
}

/// A key and its value, as written; `None` if the key is not set.
pub type Written<'a> = Option<(&'a str, &'a str)>;

/// Reads both keys of one object (a class, a namespace or a claim). Returns the value, or `None` if the object sets neither
/// key, and the errors.
pub fn read(on_delete: Written<'_>, archive_on_delete: Written<'_>) -> (Option<OnDelete>, Vec<Invalid>) {
    let mut invalid = Vec::new();
    let mut parse = |written: Written<'_>, parse: fn(&str) -> Result<OnDelete, NotAllowed>| {
        let (key, value) = written?;
        parse(value)
            .map_err(|error| invalid.push(Invalid::value(key, value, &error)))
            .ok()
    };
    let archive = parse(archive_on_delete, |text| match text {
        "true" => Ok(OnDelete::Archive),
        "false" => Ok(OnDelete::Delete),
        _ => Err(NotAllowed("true or false")),
    });
    let on_delete = parse(on_delete, str::parse);
    (on_delete.or(archive), invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_are_read_and_on_delete_wins() {
        let on_delete = |text| Some(("onDelete", text));
        let archive = |text| Some(("archiveOnDelete", text));
        let table = [
            (None, None, None),
            (on_delete("delete"), None, Some(OnDelete::Delete)),
            (on_delete("retain"), None, Some(OnDelete::Retain)),
            (on_delete("archive"), None, Some(OnDelete::Archive)),
            (None, archive("true"), Some(OnDelete::Archive)),
            (None, archive("false"), Some(OnDelete::Delete)),
            (on_delete("retain"), archive("true"), Some(OnDelete::Retain)),
            (on_delete("archive"), archive("false"), Some(OnDelete::Archive)),
        ];
        for (on_delete, archive, expected) in table {
            assert_eq!(
                read(on_delete, archive),
                (expected, vec![]),
                "{on_delete:?} {archive:?}"
            );
        }
    }

    #[test]
    fn every_error_names_key_value_and_what_is_allowed() {
        let (_, invalid) = read(Some(("onDelete", "Archive")), Some(("archiveOnDelete", "yes")));
        assert_eq!(
            Invalid::join(&invalid),
            "archiveOnDelete is \"yes\": allowed are true or false; \
             onDelete is \"Archive\": allowed are delete, retain or archive"
        );
    }
}

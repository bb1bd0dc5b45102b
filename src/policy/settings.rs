//! What one place says: a class with its parameters, a namespace or a claim with its annotations.
//!
//! Each value is parsed where it is read, so that a mistake names the key as it was written there. [`Settings::or`]
//! says which place wins.

use std::fmt;

use super::key::Key;
use super::mistake::Mistake;
use super::on_delete::{self, OnDelete};

/// What one place says. `None` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `onDelete` or `archiveOnDelete`.
    pub on_delete: Option<OnDelete>,
    /// `mountPermissions`.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
}

impl Settings {
    /// Reads what is written in one place: each key, how it is spelt there, and its value. Mistakes are collected.
    pub fn read(written: &[(Key, &str, &str)], mistakes: &mut Vec<Mistake>) -> Self {
        let get = |key| {
            written
                .iter()
                .find(|(written, ..)| *written == key)
                .map(|&(_, spelt, value)| (spelt, value))
        };
        let (on_delete, wrong) = on_delete::read(get(Key::OnDelete), get(Key::ArchiveOnDelete));
        mistakes.extend(wrong);
        Self {
            on_delete,
            mode: parse(get(Key::MountPermissions), mistakes, mode),
            uid: parse(get(Key::Uid), mistakes, id),
            gid: parse(get(Key::Gid), mistakes, id),
        }
    }

    /// What this place says, and what the next one says where this one says nothing.
    pub fn or(self, next: Self) -> Self {
        Self {
            on_delete: self.on_delete.or(next.on_delete),
            mode: self.mode.or(next.mode),
            uid: self.uid.or(next.uid),
            gid: self.gid.or(next.gid),
        }
    }
}

fn parse<T, E: fmt::Display>(
    written: Option<(&str, &str)>,
    mistakes: &mut Vec<Mistake>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let (key, value) = written?;
    parse(value)
        .map_err(|wrong| mistakes.push(Mistake::value(key, value, &wrong)))
        .ok()
}

fn mode(text: &str) -> Result<u32, &'static str> {
    let octal = !text.is_empty() && text.len() <= 5 && text.bytes().all(|c| (b'0'..=b'7').contains(&c));
    match u32::from_str_radix(text, 8) {
        Ok(0) if octal => Err("a directory that nobody may enter is of no use; write a mode such as 0770"),
        Ok(mode) if octal && mode <= 0o7777 => Ok(mode),
        _ => Err("write it in octal, 0001 to 7777, such as 0770 or 2775"),
    }
}

fn id(text: &str) -> Result<u32, &'static str> {
    // The last number means nobody in particular: RFC 8881 has no such owner, and chown(2) takes it as "leave it".
    let id = text
        .bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten();
    id.filter(|&id| id != u32::MAX)
        .ok_or("write a number from 0 to 4294967294")
}

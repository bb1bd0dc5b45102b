//! `bindery check`.

mod classes;

pub use self::classes::check;

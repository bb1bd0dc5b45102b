//! What Bindery decides. Pure: no I/O, no clock, no client, no randomness; everything comes in as an argument and every
//! decision goes out as a value.

pub mod directory;

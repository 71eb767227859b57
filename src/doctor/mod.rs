//! Floor 7: checks that say what is wrong and what to do about it.
//!
//! Absent on purpose: repairs.

pub mod kshark;

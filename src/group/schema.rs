//! The group's tables, by what they serve; each list of statements stands beside the code that uses the tables.

use crate::db::Migration;
use crate::group::{inbox, onboarding, outbox, roster, share, task, trace};

pub const MIGRATIONS: &[Migration] = &[
    Migration { number: 1300, name: "group outbox", apply: outbox::create_tables },
    Migration { number: 1301, name: "group inbox", apply: inbox::create_tables },
    Migration { number: 1302, name: "group roster", apply: roster::create_tables },
    Migration { number: 1303, name: "group tasks", apply: task::create_tables },
    Migration { number: 1304, name: "group memory items", apply: share::create_tables },
    Migration { number: 1305, name: "group traces", apply: trace::create_tables },
    Migration { number: 1306, name: "group keys", apply: onboarding::create_tables },
    Migration { number: 1307, name: "keys of claws", apply: onboarding::create_claws },
    Migration { number: 1310, name: "group contents", apply: share::create_objects },
    Migration { number: 1311, name: "group pointers", apply: inbox::create_pointers },
    Migration { number: 1312, name: "group watch", apply: trace::create_cursor },
    Migration { number: 1313, name: "group receipts", apply: outbox::add_receipts },
];

//! Whether a change of the layout only adds to it, so that a program from before can go on using the file.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// Everything that the file declares.
#[derive(Debug)]
pub(super) struct Layout {
    /// By name.
    things: BTreeMap<String, Thing>,
    /// Rows that this connection has written since it was opened.
    rows_written: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Thing {
    kind: String,
    /// The table that an index or a trigger is of.
    of: String,
    sql: String,
    /// Declarations of a table's columns, in order.
    columns: Vec<String>,
}

impl Layout {
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut things = BTreeMap::new();
        let mut statement = connection.prepare("SELECT name, type, tbl_name, coalesce(sql, '') FROM sqlite_master")?;
        let rows = statement.query_map([], |row| {
            let thing = Thing { kind: row.get(1)?, of: row.get(2)?, sql: row.get(3)?, columns: Vec::new() };
            Ok((row.get::<_, String>(0)?, thing))
        })?;
        for row in rows {
            let (name, mut thing) = row?;
            if thing.kind == "table" {
                thing.columns = columns(connection, &name)?;
            }
            things.insert(name, thing);
        }
        Ok(Self { things, rows_written: connection.total_changes() })
    }

    /// Whether whoever knows this layout reads and writes under `after` as before: nothing is gone or other than it was, nothing
    /// new stands in the way of writing to what there was, and no row has changed its meaning.
    pub fn only_grows_to(&self, after: &Self) -> bool {
        let is_kept = |(name, thing): (&String, &Thing)| {
            after.things.get(name).is_some_and(|now| now == thing || thing.only_grew_columns(now))
        };
        let stands_in_the_way = |(name, thing): (&String, &Thing)| {
            let is_new = !self.things.contains_key(name);
            let guards = thing.kind == "trigger" || thing.sql.to_ascii_uppercase().contains("UNIQUE");
            is_new && thing.kind != "table" && guards && self.things.contains_key(&thing.of)
        };
        self.rows_written == after.rows_written
            && self.things.iter().all(is_kept)
            && !after.things.iter().any(stands_in_the_way)
    }
}

impl Thing {
    /// SQLite itself refuses a new column that old statements could not leave out.
    fn only_grew_columns(&self, now: &Self) -> bool {
        self.kind == "table" && now.kind == "table" && now.columns.starts_with(&self.columns) && {
            let begin = self.sql.trim_end().trim_end_matches(')').trim_end();
            now.sql.starts_with(begin)
        }
    }
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name, type, \"notnull\", coalesce(dflt_value, ''), pk FROM pragma_table_info(?1) ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let columns = statement.query_map([table], |row| {
        let (name, kind, default): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let (not_null, key): (i64, i64) = (row.get(2)?, row.get(4)?);
        Ok(format!("{name} {kind} {not_null} {default} {key}"))
    })?;
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_adds_is_told_from_what_an_older_program_would_stumble_over() {
        let check = |change: &str, is_additive: bool| {
            let connection = Connection::open_in_memory().expect("a database");
            let before = "CREATE TABLE a (x INTEGER NOT NULL, y TEXT); CREATE INDEX by_y ON a (y); INSERT INTO a VALUES (1, 'b')";
            connection.execute_batch(before).expect("made");
            let before = Layout::read(&connection).expect("read");
            connection.execute_batch(change).expect("changed");
            let after = Layout::read(&connection).expect("read");
            assert_eq!(before.only_grows_to(&after), is_additive, "{change}");
        };
        check("", true);
        check("CREATE TABLE b (z TEXT UNIQUE); CREATE UNIQUE INDEX by_z ON b (z)", true);
        check("CREATE INDEX by_x ON a (x)", true);
        check("ALTER TABLE a ADD COLUMN z TEXT", true);
        check("ALTER TABLE a ADD COLUMN z INTEGER NOT NULL DEFAULT 0; CREATE INDEX by_z ON a (z)", true);
        check("CREATE UNIQUE INDEX one_x ON a (x)", false);
        check("CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END", false);
        check("ALTER TABLE a RENAME COLUMN y TO why", false);
        check("ALTER TABLE a DROP COLUMN x", false);
        check("ALTER TABLE a RENAME TO c", false);
        check("DROP INDEX by_y", false);
        check("UPDATE a SET x = x * 1000", false);
        check("DROP TABLE a; CREATE TABLE a (x INTEGER NOT NULL, y TEXT, CHECK (x < 5))", false);
    }
}

//! sqlite-vec, compiled in: every connection of the process has its functions and its virtual table `vec0`.

use std::sync::Once;

use rusqlite::ffi;

/// What SQLite calls for every new connection.
type Init = unsafe extern "C" fn(
    *mut ffi::sqlite3,
    *mut *mut std::ffi::c_char,
    *const ffi::sqlite3_api_routines,
) -> std::ffi::c_int;

/// Makes sqlite-vec part of every connection that is opened from now on. Cheap after the first time.
#[allow(unsafe_code)]
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `sqlite3_vec_init` is sqlite-vec's entry point, which has the signature that SQLite calls (`sqlite-vec.h`); the
        // crate declares it without arguments. It is linked statically, so it outlives every connection.
        let code = unsafe {
            ffi::sqlite3_auto_extension(Some(std::mem::transmute::<*const (), Init>(
                sqlite_vec::sqlite3_vec_init as *const (),
            )))
        };
        assert_eq!(code, ffi::SQLITE_OK, "invariant: there is memory for one pointer at start");
    });
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn vectors_are_compared_many_numbers_at_a_time() {
        register();
        let connection = Connection::open_in_memory().expect("a connection");
        let flags: String =
            connection.query_row("SELECT vec_debug()", [], |row| row.get(0)).expect("sqlite-vec is there");
        let wanted = if cfg!(target_arch = "x86_64") { "avx" } else { "neon" };
        let built = flags.lines().find(|line| line.starts_with("Build flags")).unwrap_or_default();
        assert!(built.contains(wanted), "{flags}");
    }

    #[test]
    fn a_table_of_vectors_answers() {
        register();
        let connection = Connection::open_in_memory().expect("a connection");
        let (zero, one) = (format!("[0{}]", ",0".repeat(15)), format!("[1{}]", ",0".repeat(15)));
        connection.execute_batch("CREATE VIRTUAL TABLE v USING vec0 (x float[16])").expect("a table");
        connection.execute("INSERT INTO v (rowid, x) VALUES (1, ?1), (2, ?2)", [&zero, &one]).expect("stored");
        let nearest: i64 = connection
            .query_row("SELECT rowid FROM v WHERE x MATCH ?1 AND k = 1", [&one], |row| row.get(0))
            .expect("found");
        assert_eq!(nearest, 2);
    }
}

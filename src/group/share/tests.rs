//! Shared items: whose they are, how long they last, and what the memory has of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::db::{Db, Tx};
use crate::group;
use crate::timeline;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

/// A memory that is a map.
#[derive(Default)]
struct Map(RefCell<BTreeMap<String, String>>);

impl Shelf for Map {
    fn keep(&self, _: &Tx<'_>, note: &Note<'_>, _: Timestamp) -> rusqlite::Result<()> {
        self.0.borrow_mut().insert(note.source.to_owned(), note.text.to_owned());
        Ok(())
    }

    fn drop(&self, _: &Tx<'_>, source: &str) -> rusqlite::Result<()> {
        self.0.borrow_mut().remove(source);
        Ok(())
    }
}

fn item(id: &str, text: Text) -> Item {
    Item {
        id: id.to_owned(),
        author: PeerId::from("a"),
        title: "Stove".to_owned(),
        content_type: "text/plain".to_owned(),
        tags: vec!["kitchen".to_owned()],
        text,
        metadata: "{}".to_owned(),
        created_at: NOW,
        expires_at: None,
    }
}

fn text(words: &str) -> Text {
    Text::Inline(words.to_owned())
}

#[test]
fn an_item_is_kept_changed_by_its_author_and_forgotten_in_time() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
    db.write_blocking(|tx| {
        let shelf = Map::default();
        let first = item("i1", text("is hot"));
        assert_eq!(put(tx, &first, &shelf, NOW)?, Put::New);
        assert_eq!(put(tx, &first, &shelf, NOW)?, Put::Known);
        assert_eq!(put(tx, &item("i1", text("is cold")), &shelf, NOW)?, Put::Changed);
        let theft = Item { author: PeerId::from("b"), ..item("i1", text("is mine")) };
        assert_eq!(put(tx, &theft, &shelf, NOW)?, Put::NotTheirs);
        assert_eq!(shelf.0.borrow()["group:a:i1"], "Stove\nis cold");
        let brief = Item { expires_at: Some(NOW.plus(Duration::from_secs(60))), ..item("i2", text("for now")) };
        assert_eq!(put(tx, &brief, &shelf, NOW)?, Put::New);
        assert_eq!(next_expiry(tx)?, brief.expires_at);
        let late = Item { id: "i4".to_owned(), ..brief.clone() };
        assert_eq!(put(tx, &late, &shelf, NOW.plus(Duration::from_secs(60)))?, Put::Expired);
        assert_eq!(put(tx, &item("i3", text(&"x".repeat(INLINE_BYTES_MAX + 1))), &shelf, NOW)?, Put::TooLarge);
        assert_eq!(expire(tx, &shelf, NOW)?, 0);
        assert_eq!(expire(tx, &shelf, NOW.plus(Duration::from_secs(60)))?, 1);
        assert_eq!(shelf.0.borrow().len(), 1);
        let rows = list(tx, &ItemFilter { author_id: "a".to_owned(), limit: 9, offset: 0 })?;
        assert_eq!((rows.len(), rows[0].tags.as_str()), (1, "[\"kitchen\"]"));
        Ok(())
    })
    .expect("written");
}

#[test]
fn a_text_that_lies_elsewhere_is_fetched_later() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
    db.write_blocking(|tx| {
        let shelf = Map::default();
        let pointer = Pointer { bucket: "b".to_owned(), key: "k".to_owned(), bytes: 9, sha256: String::new() };
        put(tx, &item("i1", Text::At(pointer.clone())), &shelf, NOW)?;
        put(tx, &item("i2", Text::None), &shelf, NOW)?;
        assert_eq!(shelf.0.borrow()["group:a:i1"], "Stove", "the title is found meanwhile");
        assert_eq!(unresolved(tx, 9)?, [("i1".to_owned(), pointer)]);
        resolve(tx, "i1", None, &shelf, NOW)?;
        assert_eq!(unresolved(tx, 9)?.len(), 1);
        resolve(tx, "i1", Some("is hot"), &shelf, NOW)?;
        assert_eq!(unresolved(tx, 9)?.len(), 0);
        assert_eq!(shelf.0.borrow()["group:a:i1"], "Stove\nis hot");
        Ok(())
    })
    .expect("written");
}

#[test]
fn a_text_that_travels_beside_its_item_is_matched_by_what_it_is() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
    db.write_blocking(|tx| {
        let shelf = Map::default();
        let at = |sha256: &str| {
            Text::At(Pointer { bucket: "b".to_owned(), key: "k".to_owned(), bytes: 6, sha256: sha256.to_owned() })
        };
        put(tx, &item("i1", at("AA")), &shelf, NOW)?;
        content_came(tx, ("aa", b"is hot"), &shelf, NOW)?;
        assert_eq!(shelf.0.borrow()["group:a:i1"], "Stove\nis hot", "the content came second");
        put(tx, &item("i2", at("aa")), &shelf, NOW)?;
        assert_eq!(shelf.0.borrow()["group:a:i2"], "Stove\nis hot", "the content came first");
        content_came(tx, ("bb", b"is a lie"), &shelf, NOW)?;
        assert_eq!(unresolved(tx, 9)?.len(), 0);
        content_came(tx, ("cc", b"\xff\xfe"), &shelf, NOW)?;
        put(tx, &item("i3", at("cc")), &shelf, NOW)?;
        assert_eq!(shelf.0.borrow()["group:a:i3"], "Stove", "what is no text is found by its title");
        Ok(())
    })
    .expect("written");
}

#[test]
fn an_item_is_taken_back_by_its_author_and_forgotten_by_its_reader() {
    let db = Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS]);
    db.write_blocking(|tx| {
        let shelf = Map::default();
        put(tx, &item("i1", text("is hot")), &shelf, NOW)?;
        let over = Item { expires_at: Some(NOW), ..item("i1", Text::None) };
        assert_eq!(put(tx, &Item { author: PeerId::from("b"), ..over.clone() }, &shelf, NOW)?, Put::Expired);
        assert_eq!(shelf.0.borrow().len(), 1, "nobody takes back what another one shared");
        assert_eq!(put(tx, &over, &shelf, NOW)?, Put::Withdrawn);
        assert_eq!((shelf.0.borrow().len(), author_of(tx, "i1")?), (0, None));
        put(tx, &item("i2", text("is cold")), &shelf, NOW)?;
        assert!(forget(tx, "i2", &shelf)? && !forget(tx, "i2", &shelf)?);
        assert_eq!(shelf.0.borrow().len(), 0);
        Ok(())
    })
    .expect("written");
}

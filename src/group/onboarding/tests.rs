//! Being let in: open and gated, with good, wrong, repeated and stolen answers; and what signatures are worth.

use super::*;
use crate::base::clock::Timestamp;
use crate::db::Db;
use crate::group;
use crate::group::wire::sign::Signer;
use crate::timeline;

const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

fn peer(name: &str) -> PeerId {
    PeerId::from(name)
}

fn signer(seed: u8) -> Signer {
    Signer::from_seed(&[seed; 32])
}

fn key(seed: u8) -> String {
    signer(seed).public_key().to_text()
}

fn config(mode: Mode, keyless: Keyless) -> Config {
    Config { mode, keyless, ..Config::of(peer("sponsor"), "g") }
}

fn fresh() -> Db {
    Db::memory_for_tests(&[timeline::MIGRATIONS, group::MIGRATIONS])
}

fn is_rejected(reply: &Reply) -> bool {
    matches!(reply, Reply::Reject { .. })
}

#[test]
fn an_open_group_lets_everybody_in_who_may_come_without_a_key() {
    fresh()
        .write_blocking(|tx| {
            let sponsor = |keyless| Sponsor::new(config(Mode::Open, keyless));
            assert_eq!(sponsor(Keyless::Accept).requested(tx, &peer("go"), None, NOW)?, Reply::Complete);
            assert!(is_rejected(&sponsor(Keyless::Refuse).requested(tx, &peer("go"), None, NOW)?));
            assert_eq!(sponsor(Keyless::Refuse).requested(tx, &peer("a"), Some(&key(1)), NOW)?, Reply::Complete);
            assert!(is_rejected(&sponsor(Keyless::Accept).requested(tx, &peer("a"), Some("no key"), NOW)?));
            pin(tx, &peer("a"), &key(1), NOW)?;
            let other = sponsor(Keyless::Accept).requested(tx, &peer("a"), Some(&key(2)), NOW)?;
            assert!(is_rejected(&other), "known by another key");
            Ok(())
        })
        .expect("written");
}

#[test]
fn a_gated_group_wants_the_approved_key_once_per_question() {
    fresh()
        .write_blocking(|tx| {
            let sponsor = Sponsor::new(config(Mode::Gated, Keyless::Accept));
            let joiner = peer("a");
            assert!(is_rejected(&sponsor.requested(tx, &joiner, None, NOW)?));
            assert!(is_rejected(&sponsor.requested(tx, &joiner, Some(&key(1)), NOW)?));
            assert_eq!(keys(tx)?[0].standing, Standing::Asked, "the operator sees it");
            approve(tx, &joiner, &key(1), "owner", NOW)?;
            let ask = |tx: &crate::db::Tx<'_>| match sponsor.requested(tx, &joiner, Some(&key(1)), NOW)? {
                Reply::Challenge { nonce } => Ok::<_, rusqlite::Error>(nonce),
                other => panic!("{other:?}"),
            };
            let prove = |seed, nonce: &str| {
                let mut attempt = Joiner::begin("g", peer("a"), Some(signer(seed)), NOW);
                match attempt.next(Fact::Challenged { sponsor: &peer("sponsor"), nonce }, NOW) {
                    Some(Step::Respond(answer)) => answer.proof.expect("signed"),
                    other => panic!("{other:?}"),
                }
            };
            let nonce = ask(tx)?;
            assert!(is_rejected(&sponsor.responded(tx, &joiner, &nonce, &prove(2, &nonce), NOW)?), "another key");
            let used = sponsor.responded(tx, &joiner, &nonce, &prove(1, &nonce), NOW)?;
            assert!(is_rejected(&used), "a wrong answer uses the nonce up");
            let nonce = ask(tx)?;
            assert!(is_rejected(&sponsor.responded(tx, &peer("b"), &nonce, &prove(1, &nonce), NOW)?), "stolen");
            let nonce = ask(tx)?;
            let late = NOW.plus(Duration::from_secs(300));
            assert!(is_rejected(&sponsor.responded(tx, &joiner, &nonce, &prove(1, &nonce), late)?));
            let nonce = ask(tx)?;
            assert_eq!(sponsor.responded(tx, &joiner, &nonce, &prove(1, &nonce), NOW)?, Reply::Complete);
            assert!(is_rejected(&sponsor.responded(tx, &joiner, &nonce, &prove(1, &nonce), NOW)?), "once");
            let nonce = ask(tx)?;
            revoke(tx, &joiner, "owner", NOW)?;
            assert!(is_rejected(&sponsor.responded(tx, &joiner, &nonce, &prove(1, &nonce), NOW)?));
            assert!(is_rejected(&sponsor.requested(tx, &joiner, Some(&key(1)), NOW)?));
            Ok(())
        })
        .expect("written");
}

#[test]
fn strangers_cannot_fill_the_tables_or_change_what_was_decided() {
    fresh()
        .write_blocking(|tx| {
            approve(tx, &peer("a"), &key(1), "owner", NOW)?;
            assert!(!ask(tx, &peer("a"), &key(2), NOW)?);
            assert!(!pin(tx, &peer("a"), &key(2), NOW)?);
            for number in 0..300 {
                ask(tx, &peer(&format!("stranger-{number}")), &key(3), NOW)?;
            }
            assert_eq!(keys(tx)?.len(), 201);
            assert_eq!(key_of(tx, &peer("a"))?, Some(Trusted { key: key(1), standing: Standing::Approved }));
            let sponsor = Sponsor::new(config(Mode::Gated, Keyless::Accept));
            for _ in 0..300 {
                sponsor.requested(tx, &peer("a"), Some(&key(1)), NOW)?;
            }
            assert_eq!(prune(tx, NOW.plus(Duration::from_secs(300)))?, 256);
            Ok(())
        })
        .expect("written");
}

#[test]
fn what_a_signature_is_worth() {
    let open = config(Mode::Open, Keyless::Accept);
    let gated = config(Mode::Gated, Keyless::Accept);
    let closed = config(Mode::Gated, Keyless::Refuse);
    let trusted = |standing| Trusted { key: "k".to_owned(), standing };
    let approved = trusted(Standing::Approved);
    for (known, signed, config, result) in [
        (Some(&approved), Signed::With("k"), &gated, Ok(())),
        (Some(&approved), Signed::With("x"), &open, Err(Objection::BadSignature)),
        (Some(&approved), Signed::Not, &open, Err(Objection::Unsigned)),
        (Some(&approved), Signed::Wrong, &open, Err(Objection::BadSignature)),
        (None, Signed::With("k"), &open, Ok(())),
        (None, Signed::With("k"), &gated, Err(Objection::Forbidden)),
        (None, Signed::Not, &gated, Ok(())),
        (None, Signed::Not, &closed, Err(Objection::Unsigned)),
        (Some(&trusted(Standing::Asked)), Signed::With("k"), &gated, Err(Objection::Forbidden)),
        (Some(&trusted(Standing::Pinned)), Signed::With("k"), &open, Ok(())),
        (Some(&trusted(Standing::Revoked)), Signed::Not, &open, Err(Objection::Forbidden)),
    ] {
        assert_eq!(judge(known, signed, config), result, "{known:?} {signed:?} {config:?}");
    }
    assert_eq!((Mode::parse("gated"), Mode::parse("")), (Mode::Gated, Mode::Open));
}

#[test]
fn one_who_lets_us_in_is_enough() {
    let mut attempt = Joiner::begin("g", peer("me"), Some(signer(1)), NOW);
    let (one, other) = (peer("one"), peer("other"));
    assert_eq!(attempt.next(Fact::Rejected { sponsor: &one, reason: "no" }, NOW), None);
    let first = attempt.next(Fact::Challenged { sponsor: &other, nonce: "n" }, NOW);
    assert!(matches!(&first, Some(Step::Respond(answer)) if answer.proof.is_some()));
    assert_eq!(attempt.next(Fact::Challenged { sponsor: &other, nonce: "n" }, NOW), None, "once");
    let words = attempt.next(Fact::Challenged { sponsor: &one, nonce: "" }, NOW);
    assert!(matches!(&words, Some(Step::Respond(answer)) if answer.proof.is_none()), "nothing to sign");
    let step = attempt.next(Fact::Completed { sponsor: &other }, NOW);
    assert_eq!(step, Some(Step::End(Outcome::LetIn { by: other.clone() })));
    assert_eq!(attempt.next(Fact::Completed { sponsor: &one }, NOW), None);
    let mut attempt = Joiner::begin("g", peer("me"), None, NOW);
    attempt.next(Fact::Rejected { sponsor: &one, reason: "no" }, NOW);
    let until = attempt.until();
    let outcome = Outcome::ShutOut { by: one, reason: "no".to_owned() };
    assert_eq!(attempt.next(Fact::TimePassed, until), Some(Step::End(outcome)));
    let mut attempt = Joiner::begin("g", peer("me"), None, NOW);
    assert_eq!(attempt.next(Fact::TimePassed, until), None, "a no shortens only the wait of who heard it");
    let until = attempt.until();
    assert_eq!(attempt.next(Fact::TimePassed, until), Some(Step::End(Outcome::NobodyAnswered)));
}

#[test]
fn a_claw_is_believed_with_the_key_of_the_member_that_first_signed_for_it() {
    let kid = |seed| signer(seed).public_key().kid();
    let known = move |tx: &crate::db::Tx<'_>, claw: &str, seed| {
        Ok::<_, rusqlite::Error>(signer_of(tx, claw, Some(&kid(seed)))?.map(|it| it.key))
    };
    fresh()
        .write_blocking(move |tx| {
            assert_eq!(known(tx, "claw", 1)?, None, "nobody's key");
            pin(tx, &peer("a"), &key(1), NOW)?;
            pin(tx, &peer("b"), &key(2), NOW)?;
            assert_eq!((known(tx, "claw", 1)?, known(tx, "claw", 2)?), (Some(key(1)), Some(key(2))));
            assert_eq!(known(tx, "b", 1)?, Some(key(2)), "a member's name is no claw of another one");
            pin_claw(tx, "claw", &key(1), NOW)?;
            pin_claw(tx, "claw", &key(2), NOW)?;
            assert_eq!(known(tx, "claw", 2)?, Some(key(1)));
            assert_eq!(signer_of(tx, "claw", None)?.map(|it| it.standing), Some(Standing::Pinned));
            revoke(tx, &peer("a"), "owner", NOW)?;
            assert_eq!(signer_of(tx, "claw", Some(&kid(1)))?.map(|it| it.standing), Some(Standing::Revoked));
            // An operator gave the member a new key.
            approve(tx, &peer("a"), &key(3), "owner", NOW)?;
            assert_eq!(known(tx, "claw", 3)?, Some(key(3)));
            pin_claw(tx, "claw", &key(3), NOW)?;
            assert_eq!(known(tx, "claw", 2)?, Some(key(3)));
            Ok(())
        })
        .expect("written");
}

//! Signatures: who said it, to whom, and that nothing was changed.
//!
//! A signed record is an ordinary one with two more fields at its very end: `,"kid":"<16 hex>","sig":"<86 characters>"}`. Signed is
//! the SHA-256 of every byte in front of `,"sig"`, together with the topic's name. So the signature covers sender, epoch, seq, time,
//! correlation id, type, target and payload as they stand, needs no canonical form of JSON, and readers that do not know it skip
//! two unknown fields. Ed25519 (RFC 8032), strict verification; base64url without padding.
//!
//! Absent on purpose: which key belongs to whom (the roster pins keys), and protection against repetition (epoch and seq are
//! inside, the inbox remembers them).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::base::id::to_hex;

/// Keeps signatures over records apart from others that the same key makes.
const RECORD: &[u8] = b"kafclaw group record 1\0";
const ONBOARDING: &[u8] = b"kafclaw group onboarding 1\0";

const KID_LEN: usize = 16;
const SIGNATURE_TEXT_LEN: usize = 86;
const KID_START: &[u8] = b",\"kid\":\"";
const SIGNATURE_START: &[u8] = b"\",\"sig\":\"";
const END: &[u8] = b"\"}";

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("the record is not signed")]
    Unsigned,
    #[error("the record is signed with another key")]
    OtherKey,
    #[error("the signature does not fit the record")]
    Wrong,
    #[error("the text is no public key")]
    NoKey,
}

/// The key of a member, as others know it.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads 32 bytes as base64url; refuses keys that anybody can sign for.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| SignatureError::NoKey)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| SignatureError::NoKey)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| SignatureError::NoKey)?;
        if key.is_weak() { Err(SignatureError::NoKey) } else { Ok(Self(key)) }
    }

    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_bytes())
    }

    /// First 16 hexadecimal digits of the key's SHA-256.
    pub fn kid(&self) -> String {
        let mut kid = to_hex(&Sha256::digest(self.0.as_bytes()));
        kid.truncate(KID_LEN);
        kid
    }

    fn verifies(&self, message: &[u8], signature: &str) -> Result<(), SignatureError> {
        let bytes = URL_SAFE_NO_PAD.decode(signature).map_err(|_| SignatureError::Wrong)?;
        let signature = Signature::from_slice(&bytes).map_err(|_| SignatureError::Wrong)?;
        self.0.verify_strict(message, &signature).map_err(|_| SignatureError::Wrong)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

/// This member's own key.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Signer {
    /// The key that grows from 32 secret bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.key.verifying_key())
    }

    /// `record`, which is a JSON object, with key and signature.
    ///
    /// # Panics
    /// When `record` does not end an object: our mistake.
    pub fn seal(&self, topic: &str, mut record: Vec<u8>) -> Vec<u8> {
        assert!(record.len() > 2 && record.ends_with(b"}"), "invariant: what is sealed is an object with fields");
        record.pop();
        record.extend_from_slice(KID_START);
        record.extend_from_slice(self.public_key().kid().as_bytes());
        record.push(b'"');
        let signature = self.key.sign(&to_be_signed(topic, &record));
        record.extend_from_slice(&SIGNATURE_START[1..]);
        record.extend_from_slice(URL_SAFE_NO_PAD.encode(signature.to_bytes()).as_bytes());
        record.extend_from_slice(END);
        record
    }

    /// Answers a challenge.
    pub fn prove(&self, challenge: &Challenge<'_>) -> String {
        URL_SAFE_NO_PAD.encode(self.key.sign(&challenge.to_be_signed()).to_bytes())
    }
}

/// What a member that wants to be let in has to sign.
#[derive(Clone, Copy, Debug)]
pub struct Challenge<'a> {
    pub group: &'a str,
    pub requester: &'a str,
    pub sponsor: &'a str,
    pub nonce: &'a str,
}

impl Challenge<'_> {
    /// Whether `proof` was made with the private half of `key`.
    pub fn check(&self, proof: &str, key: &PublicKey) -> Result<(), SignatureError> {
        key.verifies(&self.to_be_signed(), proof)
    }

    fn to_be_signed(self) -> Vec<u8> {
        let mut message = ONBOARDING.to_vec();
        for part in [self.group, self.requester, self.sponsor, self.nonce] {
            message.extend_from_slice(&Sha256::digest(part.as_bytes()));
        }
        message
    }
}

/// Whether `record` was signed for `topic` with `key`.
pub fn verify(topic: &str, record: &[u8], key: &PublicKey) -> Result<(), SignatureError> {
    let sealed = Sealed::find(record).ok_or(SignatureError::Unsigned)?;
    if sealed.kid != key.kid() {
        return Err(SignatureError::OtherKey);
    }
    key.verifies(&to_be_signed(topic, sealed.signed), sealed.signature)
}

/// The key's name on a signed record, to look the key up by. None when it is not signed in our way.
pub fn kid(record: &[u8]) -> Option<&str> {
    Some(Sealed::find(record)?.kid)
}

struct Sealed<'a> {
    signed: &'a [u8],
    kid: &'a str,
    signature: &'a str,
}

impl<'a> Sealed<'a> {
    fn find(record: &'a [u8]) -> Option<Self> {
        let rest = record.strip_suffix(END)?;
        let (rest, signature) = rest.split_at_checked(rest.len().checked_sub(SIGNATURE_TEXT_LEN)?)?;
        let rest = rest.strip_suffix(SIGNATURE_START)?;
        let signed = &record[..rest.len() + 1];
        let (rest, kid) = rest.split_at_checked(rest.len().checked_sub(KID_LEN)?)?;
        rest.strip_suffix(KID_START)?;
        Some(Self { signed, kid: std::str::from_utf8(kid).ok()?, signature: std::str::from_utf8(signature).ok()? })
    }
}

fn to_be_signed(topic: &str, signed: &[u8]) -> Vec<u8> {
    let mut message = RECORD.to_vec();
    message.extend_from_slice(&Sha256::digest(topic.as_bytes()));
    message.extend_from_slice(&Sha256::digest(signed));
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOPIC: &str = "group.g1.requests";

    fn signer(seed: u8) -> Signer {
        Signer::from_seed(&[seed; 32])
    }

    fn sealed() -> Vec<u8> {
        let record = br#"{"type":"request","correlation_id":"t1","sender_id":"a1","payload":{"task_id":"t1"},"epoch":1,"seq":2}"#;
        signer(1).seal(TOPIC, record.to_vec())
    }

    #[test]
    fn a_sealed_record_is_json_and_verifies_with_its_own_key_on_its_own_topic() {
        let record = sealed();
        let tree: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
        let key = signer(1).public_key();
        assert_eq!(tree["kid"], key.kid());
        assert_eq!(kid(&record), Some(key.kid().as_str()));
        assert_eq!(verify(TOPIC, &record, &key), Ok(()));
        assert_eq!(verify("group.g1.responses", &record, &key), Err(SignatureError::Wrong));
        assert_eq!(verify(TOPIC, &record, &signer(2).public_key()), Err(SignatureError::OtherKey));
        assert_eq!(verify(TOPIC, br#"{"type":"request"}"#, &key), Err(SignatureError::Unsigned));
    }

    #[test]
    fn a_signature_cannot_be_moved_to_another_record_or_be_wrapped() {
        let (key, record) = (signer(1).public_key(), sealed());
        let mut twice = signer(1).seal(TOPIC, record.clone());
        assert_eq!(verify(TOPIC, &twice, &key), Ok(()));
        twice.splice(0..1, b"{\"x\":1,".iter().copied());
        assert_eq!(verify(TOPIC, &twice, &key), Err(SignatureError::Wrong));
    }

    #[test]
    fn public_keys_read_back_and_weak_ones_are_refused() {
        let key = signer(7).public_key();
        assert_eq!(PublicKey::parse(&key.to_text()), Ok(key));
        assert_eq!(PublicKey::parse(&URL_SAFE_NO_PAD.encode([0_u8; 32])), Err(SignatureError::NoKey));
        assert_eq!(PublicKey::parse("short"), Err(SignatureError::NoKey));
    }

    #[test]
    fn a_proof_counts_for_one_nonce_of_one_sponsor() {
        let challenge = Challenge { group: "g1", requester: "new", sponsor: "a1", nonce: "n1" };
        let (proof, key) = (signer(3).prove(&challenge), signer(3).public_key());
        assert_eq!(challenge.check(&proof, &key), Ok(()));
        assert_eq!(challenge.check(&proof, &signer(4).public_key()), Err(SignatureError::Wrong));
        for other in [
            Challenge { nonce: "n2", ..challenge },
            Challenge { sponsor: "a2", ..challenge },
            Challenge { requester: "newa", sponsor: "1", ..challenge },
        ] {
            assert_eq!(other.check(&proof, &key), Err(SignatureError::Wrong));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_signed_record_is_noticed() {
        let (key, record) = (signer(1).public_key(), sealed());
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                assert!(verify(TOPIC, &changed, &key).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_signature(record in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(verify(TOPIC, &record, &signer(1).public_key()).is_err());
        }

        #[test]
        fn any_cut_or_grown_record_is_noticed(cut in 1_usize..200, more in proptest::collection::vec(any::<u8>(), 1..20)) {
            let (key, mut record) = (signer(1).public_key(), sealed());
            let whole = record.len();
            record.extend_from_slice(&more);
            prop_assert!(verify(TOPIC, &record, &key).is_err());
            record.truncate(whole.saturating_sub(cut));
            prop_assert!(verify(TOPIC, &record, &key).is_err());
        }
    }
}

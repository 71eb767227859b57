//! Passwords, and what is kept of them: an Argon2id hash with a salt of its own (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;

use crate::base::id::{random_hex, to_hex};
use crate::base::secret::Secret;
use crate::base::trim;

/// Fewest characters of a new password (NIST SP 800-63B §3.1.1.2); what they are is nobody's business.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 512;

/// What a hash costs now: OWASP's choice for Argon2id, 19 MiB and two passes, which a board of 2 GB can spare once at a time.
const COST: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
/// No hash may cost more, whatever its file says.
const MEMORY_KIB_MAX: u32 = 64 * 1024;
const PASSES_MAX: u32 = 10;
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("the password is too short; it needs {PASSWORD_CHARS_MIN} characters")]
    Short,
    #[error("the password is too long; it may have {PASSWORD_BYTES_MAX} bytes")]
    Long,
    #[error("could not hash the password: {why}")]
    Hash { why: String },
}

/// A new password that is good enough.
pub struct Password(Secret<String>);

impl Password {
    pub fn new(text: &Secret<String>) -> Result<Self, PasswordError> {
        let text = normal(text)?;
        if text.reveal().chars().count() < PASSWORD_CHARS_MIN {
            return Err(PasswordError::Short);
        }
        Ok(Self(text))
    }
}

/// The same letters from every keyboard (NFKC, as NIST advises).
fn normal(text: &Secret<String>) -> Result<Secret<String>, PasswordError> {
    if text.reveal().len() > PASSWORD_BYTES_MAX {
        return Err(PasswordError::Long);
    }
    Ok(Secret::new(text.reveal().nfkc().collect()))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What is kept of a password. Salt and hash are hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Hash {
    #[serde(flatten)]
    cost: Cost,
    salt: String,
    argon2id: String,
}

impl Hash {
    pub fn of(password: &Password) -> Result<Self, PasswordError> {
        let salt = random_hex(SALT_BYTES);
        let argon2id = hashed(&password.0, &salt, COST)?;
        Ok(Self { cost: COST, salt, argon2id })
    }

    /// Hashes `text` as this was hashed and compares.
    pub fn matches(&self, text: &Secret<String>) -> Result<bool, PasswordError> {
        let Ok(text) = normal(text) else { return Ok(false) };
        let candidate = hashed(&text, &self.salt, self.cost)?;
        Ok(bool::from(candidate.as_bytes().ct_eq(self.argon2id.as_bytes())))
    }
}

fn hashed(text: &Secret<String>, salt: &str, cost: Cost) -> Result<String, PasswordError> {
    if cost.memory_kib > MEMORY_KIB_MAX || cost.passes > PASSES_MAX {
        return Err(PasswordError::Hash { why: "its record asks for too much".to_owned() });
    }
    let failed = |error: argon2::Error| PasswordError::Hash { why: error.to_string() };
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(HASH_BYTES)).map_err(failed)?;
    let mut hash = [0_u8; HASH_BYTES];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let result = argon2.hash_password_into(text.reveal().as_bytes(), salt.as_bytes(), &mut hash);
    // The 19 MiB are not needed again for weeks.
    trim::heap();
    result.map_err(failed)?;
    Ok(to_hex(&hash))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_password_is_known_by_its_hash_and_no_other_is() {
        let password = Password::new(&secret("korrektes Pferd")).expect("a password");
        let hash = Hash::of(&password).expect("a hash");
        assert!(hash.matches(&secret("korrektes Pferd")).expect("hashed"));
        assert!(!hash.matches(&secret("korrektes Pferd ")).expect("hashed"));
        assert!(!hash.matches(&secret(&"x".repeat(PASSWORD_BYTES_MAX + 1))).expect("refused"));
        let again = Hash::of(&password).expect("a hash");
        assert!(again.salt != hash.salt && again.argon2id != hash.argon2id);
        let kept: Hash = serde_json::from_str(&serde_json::to_string(&hash).expect("text")).expect("a hash");
        assert_eq!(kept, hash);
    }

    #[test]
    fn one_password_typed_on_two_keyboards_is_one_password() {
        let composed = Hash::of(&Password::new(&secret("Käsefüße mit Ei")).expect("a password")).expect("a hash");
        assert!(composed.matches(&secret("Ka\u{308}sefu\u{308}ße mit Ei")).expect("hashed"));
    }

    #[test]
    fn what_is_too_short_or_too_long_is_no_password() {
        assert!(matches!(Password::new(&secret("sieben7")), Err(PasswordError::Short)));
        assert!(matches!(Password::new(&secret(&"x".repeat(PASSWORD_BYTES_MAX + 1))), Err(PasswordError::Long)));
        assert!(Password::new(&secret("ÄÖÜäöüß!")).is_ok());
    }

    #[test]
    fn the_hash_is_argon2id_as_others_compute_it() {
        // By OpenSSL: Argon2id(b"somesaltsomesalt", 32, iterations=2, lanes=1, memory_cost=64).derive(b"password").
        let cost = Cost { memory_kib: 64, passes: 2, lanes: 1 };
        let ours = hashed(&secret("password"), "somesaltsomesalt", cost).expect("a hash");
        assert_eq!(ours, "1a98fba8e6394425c9bdc333a9c750aaf811df070f5fb4a5788e1cf4db5793a1");
    }

    proptest! {
        #[test]
        fn no_record_makes_hashing_cost_more_than_it_may(memory_kib: u32, passes: u32, lanes: u32, salt in "\\PC{0,20}") {
            let expensive = memory_kib > 256 && memory_kib <= MEMORY_KIB_MAX;
            prop_assume!(!expensive);
            let cost = Cost { memory_kib, passes, lanes };
            let result = hashed(&secret("x"), &salt, cost);
            prop_assert!(result.is_err() || (memory_kib <= MEMORY_KIB_MAX && passes <= PASSES_MAX));
        }
    }
}

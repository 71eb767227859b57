//! SCRAM, the client's side: the broker learns that we know the password, and we learn that it does (RFC 5802, RFC 7677).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use crate::base::secret::Secret;

/// Fewer rounds are what a thief of passwords would ask for (RFC 7677, section 4).
const ROUNDS_MIN: u32 = 4_096;
/// More rounds would let a hostile broker burn our processor.
const ROUNDS_MAX: u32 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ScramError {
    #[error("the broker's answer is no SCRAM")]
    Malformed,
    #[error("the broker answers somebody else's question")]
    Nonce,
    #[error("the broker wants {0} rounds, which is out of bounds")]
    Rounds(u32),
    #[error("the broker does not know the password itself")]
    Impostor,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => keyed::<Hmac<Sha256>>(key, parts),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key, parts),
        }
    }

    fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// `Hi` of RFC 5802: PBKDF2 with one block.
    fn salted(self, password: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
        let mut round = self.hmac(password, &[salt, &1_u32.to_be_bytes()]);
        let mut sum = round.clone();
        for _ in 1..rounds {
            round = self.hmac(password, &[&round]);
            sum.iter_mut().zip(&round).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("invariant: HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The first word was said, the answer is awaited.
pub struct Scram {
    hash: Hash,
    password: Secret<String>,
    nonce: String,
    first: String,
}

/// The proof was given; the broker's own is awaited.
pub struct Proven {
    server_signature: Vec<u8>,
}

impl Scram {
    /// `nonce` is random, printable and without commas.
    pub fn new(hash: Hash, user: &str, password: Secret<String>, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, password, nonce: nonce.to_owned(), first: format!("n={user},r={nonce}") }
    }

    pub fn first_message(&self) -> Vec<u8> {
        format!("n,,{}", self.first).into_bytes()
    }

    /// The proof for the broker's challenge.
    pub fn prove(self, challenge: &[u8]) -> Result<(Vec<u8>, Proven), ScramError> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| ScramError::Malformed)?;
        let nonce = attribute(challenge, "r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        let salt = STANDARD.decode(attribute(challenge, "s=")?).map_err(|_| ScramError::Malformed)?;
        let rounds: u32 = attribute(challenge, "i=")?.parse().map_err(|_| ScramError::Malformed)?;
        if !(ROUNDS_MIN..=ROUNDS_MAX).contains(&rounds) {
            return Err(ScramError::Rounds(rounds));
        }
        let salted = self.hash.salted(self.password.reveal().as_bytes(), &salt, rounds);
        let client_key = self.hash.hmac(&salted, &[b"Client Key"]);
        let ending = format!("c=biws,r={nonce}");
        let said = format!("{},{challenge},{ending}", self.first);
        let signature = self.hash.hmac(&self.hash.hash(&client_key), &[said.as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        let server_key = self.hash.hmac(&salted, &[b"Server Key"]);
        let server_signature = self.hash.hmac(&server_key, &[said.as_bytes()]);
        Ok((format!("{ending},p={}", STANDARD.encode(proof)).into_bytes(), Proven { server_signature }))
    }
}

impl Proven {
    pub fn check(&self, answer: &[u8]) -> Result<(), ScramError> {
        let answer = std::str::from_utf8(answer).map_err(|_| ScramError::Malformed)?;
        let signature = STANDARD.decode(attribute(answer, "v=")?).map_err(|_| ScramError::Malformed)?;
        if bool::from(signature.ct_eq(&self.server_signature)) { Ok(()) } else { Err(ScramError::Impostor) }
    }
}

fn attribute<'a>(message: &'a str, name: &str) -> Result<&'a str, ScramError> {
    message.split(',').find_map(|part| part.strip_prefix(name)).ok_or(ScramError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn pencil() -> Scram {
        Scram::new(Hash::Sha256, "user", Secret::new("pencil".to_owned()), NONCE)
    }

    #[test]
    fn the_example_of_rfc_7677_comes_out() {
        assert_eq!(pencil().first_message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (message, proven) = pencil().prove(CHALLENGE.as_bytes()).expect("a proof");
        let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
        assert_eq!(String::from_utf8(message).expect("text"), expected);
        assert_eq!(proven.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
        assert_eq!(proven.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="), Err(ScramError::Malformed));
        assert_eq!(proven.check(b"v=AAAA"), Err(ScramError::Impostor));
    }

    #[test]
    fn a_broker_that_asks_for_too_much_or_answers_another_is_refused() {
        let prove = |challenge: &str| pencil().prove(challenge.as_bytes()).map(drop);
        assert_eq!(prove(&CHALLENGE.replace("i=4096", "i=4000000000")), Err(ScramError::Rounds(4_000_000_000)));
        assert_eq!(prove(&CHALLENGE.replace("i=4096", "i=1")), Err(ScramError::Rounds(1)));
        assert_eq!(prove("r=other,s=AA==,i=4096"), Err(ScramError::Nonce));
        assert_eq!(prove(&format!("r={NONCE},s=AA==,i=4096")), Err(ScramError::Nonce));
        assert_eq!(prove("e=other-error"), Err(ScramError::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn challenges_of_any_bytes_are_answered_or_refused(bytes: Vec<u8>, tail in "[!-~]{0,20}") {
            let _ = pencil().prove(&bytes).map(drop);
            let _ = pencil().prove(format!("r={NONCE}{tail}").as_bytes()).map(drop);
        }
    }
}

//! Who is believed, and who is let in: signatures against the keys that are known, and the sponsor's side of the onboarding.

use crate::base::clock::Timestamp;
use crate::base::id::PeerId;
use crate::db::Tx;
use crate::domain::peer::Identity;
use crate::group::inbox::Objection;
use crate::group::onboarding::{self, Reply, Signed, Sponsor};
use crate::group::roster::{self, Heard};
use crate::group::wire::sign::{self, PublicKey, Signer};
use crate::group::wire::{Body, Head, Message, Onboard, OnboardAction, Topic};

use super::core::Core;
use super::say::{Said, undone};
use super::work::After;

impl Core {
    /// The key that signed the message; none when nobody did and that may be.
    pub(super) fn signature(
        &self,
        tx: &Tx<'_>,
        message: &Message,
        value: &[u8],
    ) -> rusqlite::Result<Result<Option<String>, Objection>> {
        // Whoever asks to be let in is not known yet; what it proves, the sponsor judges.
        if matches!(message.body, Body::Onboard(_)) {
            return Ok(Ok(None));
        }
        let trusted = onboarding::key_of(tx, &message.head.sender)?;
        let offered = match &message.body {
            Body::Announce(announce) => Some(announce.identity.public_key.clone()).filter(|key| !key.is_empty()),
            _ => None,
        };
        let key = trusted.as_ref().filter(|trusted| trusted.is_valid()).map(|trusted| trusted.key.clone()).or(offered);
        let topic = self.config.topics.name(&message.topic);
        let signed = match (&key, message.head.is_signed) {
            // A key that nobody has told yet proves nothing.
            (_, false) | (None, true) => Signed::Not,
            (Some(key), true) => match PublicKey::parse(key).and_then(|parsed| sign::verify(&topic, value, &parsed)) {
                Ok(()) => Signed::With(key),
                Err(_) => Signed::Wrong,
            },
        };
        let judged = onboarding::judge(trusted.as_ref(), signed, &self.config.onboarding);
        Ok(judged.map(|()| if matches!(signed, Signed::With(_)) { key.clone() } else { None }))
    }

    /// What speaks against believing a claw; a good signature is the one it is known by from now on.
    pub(super) fn claw(
        &self,
        tx: &Tx<'_>,
        claw: &str,
        (topic, value): (&str, &[u8]),
        now: Timestamp,
    ) -> rusqlite::Result<Result<(), Objection>> {
        let kid = sign::kid(value);
        let trusted = onboarding::signer_of(tx, claw, kid)?;
        let signed = match (&trusted, kid) {
            // A key that no member has told proves nothing.
            (_, None) | (None, Some(_)) => Signed::Not,
            (Some(trusted), Some(_)) => {
                let verified = PublicKey::parse(&trusted.key).and_then(|key| sign::verify(topic, value, &key));
                if verified.is_ok() { Signed::With(&trusted.key) } else { Signed::Wrong }
            }
        };
        let judged = onboarding::judge(trusted.as_ref(), signed, &self.config.onboarding);
        if let (Ok(()), Signed::With(key)) = (&judged, signed) {
            onboarding::pin_claw(tx, claw, key, now)?;
        }
        Ok(judged)
    }

    /// Something was said in our name. What we say carries our signature; that somebody else uses the name, a person has to know.
    pub(super) fn own_name(&self, tx: &Tx<'_>, message: &Message, value: &[u8], heard: Heard) -> rusqlite::Result<()> {
        let Message { head, body: Body::Announce(announce), .. } = message else { return Ok(()) };
        let Ok(identity) = Identity::try_from(announce.identity.clone()) else { return Ok(()) };
        if identity.id != *self.me() {
            return Ok(());
        }
        let topic = self.config.topics.name(&message.topic);
        let is_ours = |signer: &Signer| sign::verify(&topic, value, &signer.public_key()).is_ok();
        let fact = roster::Fact::Announced {
            said: roster::Said::Heartbeat,
            identity: Box::new(identity),
            stamp: head.stamp.filter(|_| self.config.signer.as_ref().is_none_or(is_ours)),
            key: None,
            sent_at: None,
            heard,
        };
        let steps = self.roster().next(fact, self.moment());
        roster::apply(tx, &steps, self.group(), self.clock.now())
    }

    /// Somebody asks to be let in, or answers our challenge. What others say to each other is not ours.
    pub(super) fn sponsor(
        &self,
        tx: &Tx<'_>,
        head: &Head,
        onboard: &Onboard,
        after: &mut After,
    ) -> rusqlite::Result<Option<&'static str>> {
        if onboard.requester_id != head.sender.as_str() {
            if onboard.requester_id == self.me().as_str() {
                self.asked_in(tx, head, onboard, after)?;
            }
            return Ok(None);
        }
        let (sponsor, now) = (Sponsor::new(self.config.onboarding.clone()), self.clock.now());
        let reply = match onboard.action() {
            Some(OnboardAction::Request) => {
                let key = onboard.identity.as_ref().map(|identity| identity.public_key.as_str());
                sponsor.requested(tx, &head.sender, key.filter(|key| !key.is_empty()), now)?
            }
            Some(OnboardAction::Response) if onboard.sponsor_id == self.me().as_str() => {
                sponsor.responded(tx, &head.sender, &onboard.nonce, &onboard.proof, now)?
            }
            _ => return Ok(None),
        };
        self.reply(tx, head, reply, now)?;
        after.queued = true;
        Ok(None)
    }

    fn reply(&self, tx: &Tx<'_>, head: &Head, reply: Reply, now: Timestamp) -> rusqlite::Result<()> {
        let empty =
            Onboard { requester_id: head.sender.to_string(), sponsor_id: self.me().to_string(), ..Onboard::default() };
        let of = |action: OnboardAction, onboard: Onboard| Onboard { action: action.as_str().to_owned(), ..onboard };
        let onboard = match reply {
            Reply::Complete => {
                let manifest = Some(self.manifest(tx, now)?);
                of(OnboardAction::Complete, Onboard { manifest, ..empty })
            }
            Reply::Challenge { nonce } => {
                let challenge = "Sign the nonce with your approved key.".to_owned();
                of(OnboardAction::Challenge, Onboard { nonce, challenge, ..empty })
            }
            Reply::Reject { reason } => of(OnboardAction::Reject, Onboard { reason: reason.to_owned(), ..empty }),
        };
        let requester = PeerId::from(head.sender.as_str());
        let said = Said {
            topic: Topic::Onboarding,
            body: Body::Onboard(onboard),
            about: &head.correlation_id,
            to: Some(&requester),
            key: Some(head.sender.as_str()),
            deadline_at: None,
        };
        self.say(tx, &said, now).map(drop).map_err(undone)
    }
}

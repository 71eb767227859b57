//! Which update somebody offers: a small JSON file beside the bundles, or what another hub answers on `/api/v1/update/release`.
//!
//! `{"version": "0.2.0", "released_at": "2026-11-21T00:00:00Z", "bundles": [{"compatible": "kafclaw-x", "url": "x.raucb", "bytes": 1}]}`;
//! addresses may be relative to the index. Nothing in it is believed: it only says where to look.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::link::http::Url;
use crate::update::errors::UpdateError;
use crate::update::version::Version;

/// Where a hub says what it has to give.
pub const RELEASE_PATH: &str = "/api/v1/update/release";

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Index {
    pub version: String,
    #[serde(default)]
    pub released_at: String,
    #[serde(default)]
    pub bundles: Vec<Entry>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub compatible: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// An update for this kind of board.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Offer {
    pub version: String,
    pub released_at: Option<Timestamp>,
    pub source: String,
    pub bytes: Option<u64>,
}

impl Offer {
    /// Whether it is later than what runs; a version that is none never is.
    pub fn is_newer_than(&self, running: &str) -> bool {
        match (Version::parse(&self.version), Version::parse(running)) {
            (Some(offered), Some(running)) => offered > running,
            (offered, _) => offered.is_some(),
        }
    }
}

impl Index {
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// What it has for boards of the kind `compatible`, seen from its own address.
    pub fn offer(&self, own: &Url, compatible: &str) -> Option<Offer> {
        let entry = self.bundles.iter().find(|entry| entry.compatible == compatible)?;
        let url = own.join(&entry.url).ok().filter(|url| plain(url).is_some())?;
        Some(Offer {
            version: self.version.clone(),
            released_at: Timestamp::parse(&self.released_at),
            source: url.into(),
            bytes: entry.bytes,
        })
    }

    /// The kinds of boards that it has something for.
    pub fn kinds(&self) -> String {
        let kinds: Vec<&str> = self.bundles.iter().map(|entry| entry.compatible.as_str()).take(8).collect();
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
    }
}

/// What a web address leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Index(Url),
    Bundle(Url),
}

/// None for what is no web address, or carries a password that would be written down.
pub(super) fn place(text: &str) -> Option<Place> {
    let mut url = plain(&Url::parse(text).ok()?)?;
    if matches!(url.path(), "" | "/") {
        url.set_path(RELEASE_PATH);
    }
    Some(match url.path() {
        path if path == RELEASE_PATH || path.ends_with(".json") => Place::Index(url),
        _ => Place::Bundle(url),
    })
}

/// Refuses what [`place`] would, before anything of it is written down.
pub(super) fn check(source: &str) -> Result<(), UpdateError> {
    if source.contains("://") && place(source).is_none() { Err(UpdateError::Source) } else { Ok(()) }
}

fn plain(url: &Url) -> Option<Url> {
    let is_plain = matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    is_plain.then(|| url.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses_are_of_indexes_hubs_or_bundles() {
        let index = |text: &str| Some(Place::Index(Url::parse(text).expect("an address")));
        assert_eq!(place("https://x.org/updates/index.json"), index("https://x.org/updates/index.json"));
        assert_eq!(place("http://garage:18791"), index("http://garage:18791/api/v1/update/release"));
        assert_eq!(place("http://garage:18791/"), index("http://garage:18791/api/v1/update/release"));
        let bundle = "http://garage:18791/api/v1/update/bundle";
        assert_eq!(place(bundle), Some(Place::Bundle(Url::parse(bundle).expect("an address"))));
        for text in ["", "x", "file:///etc/passwd", "http://me:secret@x.org/a.raucb", "ftp://x.org/a.raucb"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn an_index_offers_what_fits_this_board() {
        let text = br#"{"version": "0.2.0", "released_at": "2026-11-20T00:00:00Z", "color": 1, "bundles": [
            {"compatible": "kafclaw-x", "url": "x-0.2.0.raucb", "bytes": 7}, {"compatible": "kafclaw-y", "url": "ftp://y"}]}"#;
        let index = Index::parse(text).expect("an index");
        let own = Url::parse("https://x.org/updates/index.json").expect("an address");
        let offer = index.offer(&own, "kafclaw-x").expect("offered");
        assert_eq!((offer.source.as_str(), offer.bytes), ("https://x.org/updates/x-0.2.0.raucb", Some(7)));
        assert!(offer.released_at.is_some() && offer.is_newer_than("0.1.9") && !offer.is_newer_than("0.2.0"));
        assert_eq!((index.offer(&own, "kafclaw-y"), index.offer(&own, "kafclaw-z")), (None, None));
        assert_eq!(index.kinds(), "kafclaw-x, kafclaw-y");
    }

    proptest! {
        #[test]
        fn an_offer_never_leaves_the_web(bytes in proptest::collection::vec(any::<u8>(), 0..60), url in "\\PC{0,30}") {
            let _ = Index::parse(&bytes);
            let _ = place(&url);
            let entry = Entry { compatible: "x".to_owned(), url, bytes: None };
            let index = Index { version: "1".to_owned(), released_at: String::new(), bundles: vec![entry] };
            let own = Url::parse("https://x.org/i.json").expect("an address");
            if let Some(offer) = index.offer(&own, "x") {
                prop_assert!(offer.source.starts_with("http"));
            }
        }
    }
}

//! What a person says about the group: in the configuration file, and over it at run time, kept in the settings under KafClaw's
//! names (group specification §8).

use rusqlite::Connection;
use serde::Serialize;

use crate::base::clock::Timestamp;
use crate::base::secret::Secret;
use crate::db::Tx;
use crate::domain::refusal::{Refusal, check_id};
use crate::group::wire::SkillName;
use crate::link::kafka::{AddressError, Broker};
use crate::settings::{self, Entry, SettingError, Stored};

/// Whether the group was joined (`true`) or left (`false`) at run time.
const ACTIVE: &str = "group_active";
const NAME: &str = "group_name";
/// A JSON list, ours.
const SKILLS: &str = "group_skills";
/// What KafClaw puts into every new database.
const PROXY_SEED: &str = "http://localhost:8080";
/// Skills that are kept besides those of the configuration.
const SKILLS_MAX: usize = 64;
/// Shorter secrets are not shown in part: too little would be left to guess.
const SHOWN_SECRET_CHARS_MIN: usize = 12;

/// Fields of `POST /api/v1/group/config`, each with its setting.
const FIELDS: [(&str, &str); 6] = [
    ("lfs_proxy_url", "kafscale_lfs_proxy_url"),
    ("api_key", "kafscale_lfs_proxy_api_key"),
    ("kafka_brokers", "kafka_brokers"),
    ("consumer_group", "kafka_consumer_group"),
    ("agent_id", "group_agent_id"),
    ("poll_interval_ms", "group_poll_interval_ms"),
];

/// Everything together; each field for itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    pub is_wanted: bool,
    pub group_name: String,
    pub brokers: String,
    pub agent_id: String,
    /// Blank for the agent's id.
    pub consumer_group: String,
    pub lfs_proxy_url: String,
    pub lfs_proxy_api_key: Secret<String>,
    pub poll_interval_ms: u64,
    pub skills: Vec<String>,
}

/// `GET /api/v1/group/config`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConfigView {
    pub agent_id: String,
    /// First and last letters only.
    pub api_key: String,
    pub consumer_group: String,
    pub enabled: bool,
    pub group_name: String,
    pub kafka_brokers: String,
    pub lfs_proxy_url: String,
    pub poll_interval_ms: u64,
    /// Ours: what this hub offers.
    pub skills: Vec<String>,
}

/// Why something cannot be said.
#[derive(PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("group_name required")]
    NoName,
    #[error(
        "there is no `{name}` to change; there are lfs_proxy_url, api_key, kafka_brokers, consumer_group, agent_id and poll_interval_ms"
    )]
    Unknown { name: String },
    #[error("lfs_proxy_url must begin with http:// or https:// and name a host")]
    Url,
    #[error("kafka_brokers cannot be read")]
    Brokers { source: AddressError },
    #[error("agent_id cannot be used")]
    Agent { source: Refusal },
    #[error("consumer_group cannot be used")]
    ConsumerGroup { source: Refusal },
    #[error("api_key is what is shown in place of the key, not the key")]
    Masked,
    #[error("skill_name: one word of letters, digits, dashes and underscores")]
    Skill,
    #[error("more than {SKILLS_MAX} skills")]
    TooManySkills,
    #[error("there are too many settings")]
    Full,
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// What is kept, over what the file says.
pub(super) struct Kept {
    pub words: Words,
    /// Whether somebody joined or left at run time.
    pub is_told: bool,
}

impl Kept {
    pub fn read(conn: &Connection, file: &Words) -> rusqlite::Result<Self> {
        let mut words = file.clone();
        for setting in FIELDS.map(|(_, setting)| setting).into_iter().chain([NAME, ACTIVE, SKILLS]) {
            let value = settings::get(conn, setting)?.filter(|value| setting != FIELDS[0].1 || value != PROXY_SEED);
            if let Some(value) = value {
                words.take(setting, &value, file);
            }
        }
        let is_told = settings::get(conn, ACTIVE)?.is_some_and(|value| !value.is_empty());
        Ok(Self { words, is_told })
    }
}

impl Words {
    /// Blank goes back to the file's.
    fn take(&mut self, setting: &str, value: &str, file: &Self) {
        let chosen = |given: &String| if value.is_empty() { given.clone() } else { value.to_owned() };
        match setting {
            NAME => self.group_name = chosen(&file.group_name),
            "kafka_brokers" => self.brokers = chosen(&file.brokers),
            "group_agent_id" => self.agent_id = chosen(&file.agent_id),
            "kafka_consumer_group" => self.consumer_group = chosen(&file.consumer_group),
            "kafscale_lfs_proxy_url" => self.lfs_proxy_url = chosen(&file.lfs_proxy_url),
            "kafscale_lfs_proxy_api_key" if value.is_empty() => {
                self.lfs_proxy_api_key = file.lfs_proxy_api_key.clone();
            }
            "kafscale_lfs_proxy_api_key" => self.lfs_proxy_api_key = Secret::new(value.to_owned()),
            "group_poll_interval_ms" => self.poll_interval_ms = value.parse().unwrap_or(file.poll_interval_ms),
            ACTIVE => self.is_wanted = value.parse().unwrap_or(file.is_wanted),
            SKILLS => {
                let kept: Vec<String> = serde_json::from_str(value).unwrap_or_default();
                self.skills.clone_from(&file.skills);
                self.skills.extend(kept.into_iter().filter(|skill| !file.skills.contains(skill)).take(SKILLS_MAX));
            }
            _ => {}
        }
    }

    pub(super) fn view(&self) -> ConfigView {
        let consumer_group = if self.consumer_group.is_empty() { &self.agent_id } else { &self.consumer_group };
        ConfigView {
            agent_id: self.agent_id.clone(),
            api_key: masked(self.lfs_proxy_api_key.reveal()),
            consumer_group: consumer_group.clone(),
            enabled: self.is_wanted,
            group_name: self.group_name.clone(),
            kafka_brokers: self.brokers.clone(),
            lfs_proxy_url: self.lfs_proxy_url.clone(),
            poll_interval_ms: self.poll_interval_ms,
            skills: self.skills.clone(),
        }
    }
}

/// What is said now, checked one by one; blank values go back to what the configuration file says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Settings; none goes back to the file.
    entries: Vec<(&'static str, Option<Entry>)>,
}

impl Changes {
    /// To be in `group`, as `POST /api/v1/group/join` says it.
    pub fn joining(group: &str) -> Result<Self, ChangeError> {
        let group = group.trim();
        if group.is_empty() {
            return Err(ChangeError::NoName);
        }
        Ok(Self { entries: vec![(NAME, Some(Entry::new(NAME, group)?)), (ACTIVE, Some(Entry::new(ACTIVE, "true")?))] })
    }

    /// To be in no group.
    pub(super) fn leaving() -> Result<Self, ChangeError> {
        Ok(Self { entries: vec![(ACTIVE, Some(Entry::new(ACTIVE, "false")?))] })
    }

    /// One field of `POST /api/v1/group/config`.
    pub fn say(&mut self, field: &str, value: &str) -> Result<(), ChangeError> {
        let value = value.trim();
        let Some((_, setting)) = FIELDS.iter().find(|(name, _)| *name == field) else {
            return Err(ChangeError::Unknown { name: field.chars().take(64).collect() });
        };
        let entry = match value {
            "" => None,
            value => {
                check(field, value)?;
                Some(Entry::new(setting, value)?)
            }
        };
        self.entries.push((setting, entry));
        Ok(())
    }

    /// One more skill of ours, beside `words`' and those of the `file`. None when it is known.
    pub(super) fn offering(words: &Words, file: &Words, skill: &str) -> Result<Option<Self>, ChangeError> {
        let skill = SkillName::parse(skill.trim()).ok_or(ChangeError::Skill)?;
        if words.skills.iter().any(|known| known == skill.as_str()) {
            return Ok(None);
        }
        let known = words.skills.iter().filter(|skill| !file.skills.contains(skill)).map(String::as_str);
        let kept: Vec<&str> = known.chain([skill.as_str()]).collect();
        if kept.len() > SKILLS_MAX {
            return Err(ChangeError::TooManySkills);
        }
        let entry = Entry::new(SKILLS, &serde_json::json!(kept).to_string())?;
        Ok(Some(Self { entries: vec![(SKILLS, Some(entry))] }))
    }

    /// `words` as they are with these changes; `current` tells what is shown in place of the key.
    pub(super) fn over(&self, words: &Words, file: &Words) -> Result<Words, ChangeError> {
        let mut changed = words.clone();
        let shown = masked(words.lfs_proxy_api_key.reveal());
        for (setting, entry) in &self.entries {
            let value = entry.as_ref().map_or("", Entry::value);
            if *setting == "kafscale_lfs_proxy_api_key" && !value.is_empty() && value == shown {
                return Err(ChangeError::Masked);
            }
            changed.take(setting, value, file);
        }
        Ok(changed)
    }

    /// All of them or, with an error, none.
    pub(super) fn store(&self, tx: &Tx<'_>, now: Timestamp) -> rusqlite::Result<()> {
        for (setting, entry) in &self.entries {
            match entry {
                None => drop(settings::remove(tx, setting)?),
                Some(entry) if settings::set(tx, entry, now)? == Stored::Full => {
                    return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(ChangeError::Full)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

fn check(field: &str, value: &str) -> Result<(), ChangeError> {
    match field {
        "lfs_proxy_url" => {
            let rest = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
            let has_host =
                rest.is_some_and(|rest| rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '['));
            if has_host && !value.contains(char::is_whitespace) { Ok(()) } else { Err(ChangeError::Url) }
        }
        "kafka_brokers" => Broker::list(value).map(drop).map_err(|source| ChangeError::Brokers { source }),
        "agent_id" => check_id("agent_id", value).map_err(|source| ChangeError::Agent { source }),
        "consumer_group" => check_id("consumer_group", value).map_err(|source| ChangeError::ConsumerGroup { source }),
        _ => Ok(()),
    }
}

/// KafClaw's way: the first and the last two letters (group specification §7); of short secrets nothing.
fn masked(secret: &str) -> String {
    let letters: Vec<char> = secret.chars().collect();
    match letters.len() {
        0 => String::new(),
        len if len < SHOWN_SECRET_CHARS_MIN => "*".repeat(4),
        len => letters[..2].iter().chain(&['*']).chain(&letters[len - 2..]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::db::Db;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_000);

    fn file() -> Words {
        Words {
            is_wanted: true,
            group_name: "home".to_owned(),
            brokers: "a:1".to_owned(),
            agent_id: "kitchen".to_owned(),
            consumer_group: String::new(),
            lfs_proxy_url: PROXY_SEED.to_owned(),
            lfs_proxy_api_key: Secret::new(String::new()),
            poll_interval_ms: 2_000,
            skills: vec!["cook".to_owned()],
        }
    }

    fn kept(db: &Db) -> Kept {
        db.read_blocking(|conn| Kept::read(conn, &file())).expect("read")
    }

    fn store(db: &Db, changes: &Changes) -> Words {
        let before = kept(db).words;
        let changes = changes.clone();
        let expected = changes.over(&before, &file()).expect("fits");
        db.write_blocking(move |tx| changes.store(tx, NOW)).expect("stored");
        assert_eq!(kept(db).words, expected, "what is said is what is read");
        expected
    }

    #[test]
    fn what_is_said_at_run_time_weighs_more_than_the_file_until_it_is_taken_back() {
        let db = Db::memory_for_tests(&[settings::MIGRATIONS]);
        assert_eq!((kept(&db).words, kept(&db).is_told), (file(), false));
        let mut changes = Changes::joining(" garage ").expect("a name");
        changes.say("kafka_brokers", "b:2, c").expect("brokers");
        changes.say("api_key", "very-secret-key").expect("a key");
        changes.say("poll_interval_ms", "500").expect("a number");
        let words = store(&db, &changes);
        assert_eq!(
            (words.group_name.as_str(), words.brokers.as_str(), words.poll_interval_ms),
            ("garage", "b:2, c", 500)
        );
        assert_eq!(words.view().api_key, "ve*ey");
        assert!(!format!("{words:?} {changes:?}").contains("secret"));
        let mut shown = Changes::default();
        shown.say("api_key", "ve*ey").expect("a text");
        assert_eq!(shown.over(&words, &file()), Err(ChangeError::Masked));
        assert!(!store(&db, &Changes::leaving().expect("leaving")).is_wanted);
        assert!(kept(&db).is_told);
        let mut back = Changes::default();
        back.say("kafka_brokers", "").expect("blank");
        assert_eq!(store(&db, &back).brokers, "a:1");
        let more = Changes::offering(&words, &file(), "bake").expect("a skill").expect("a new one");
        assert_eq!(store(&db, &more).skills, ["cook", "bake"]);
        assert_eq!(Changes::offering(&file(), &file(), "cook"), Ok(None));
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let check = |field: &str, value: &str| Changes::default().say(field, value);
        assert!(matches!(check("nonsense", "x"), Err(ChangeError::Unknown { .. })));
        assert!(matches!(check("kafka_brokers", ":9092"), Err(ChangeError::Brokers { .. })));
        assert_eq!(check("lfs_proxy_url", "ftp://a"), Err(ChangeError::Url));
        assert_eq!(check("lfs_proxy_url", "http://"), Err(ChangeError::Url));
        assert!(matches!(check("agent_id", "a\nb"), Err(ChangeError::Agent { .. })));
        assert!(matches!(check("poll_interval_ms", "soon"), Err(ChangeError::Setting(_))));
        assert_eq!(Changes::joining("  "), Err(ChangeError::NoName));
        assert_eq!(Changes::offering(&file(), &file(), "a.b"), Err(ChangeError::Skill));
    }

    #[test]
    fn what_kafclaw_left_is_read_and_its_seed_is_nothing() {
        let db = Db::memory_for_tests(&[settings::MIGRATIONS]);
        db.write_blocking(|tx| {
            tx.execute_batch(
                "INSERT INTO settings VALUES ('group_name', 'old', ''), ('group_active', 'true', ''),
                    ('kafscale_lfs_proxy_url', 'http://localhost:8080', ''), ('group_poll_interval_ms', 'x', ''),
                    ('group_skills', '{', '')",
            )
        })
        .expect("written");
        let kept = kept(&db);
        assert_eq!(kept.words, Words { group_name: "old".to_owned(), ..file() });
        assert!(kept.is_told);
    }

    proptest! {
        #[test]
        fn any_value_is_kept_as_it_is_used_or_refused(field in 0..FIELDS.len(), value in ".{0,40}") {
            let mut changes = Changes::default();
            if changes.say(FIELDS[field].0, &value).is_ok()
                && let Ok(words) = changes.over(&file(), &file()) {
                prop_assert_eq!(changes.over(&words, &file()).map(|again| again == words).unwrap_or(true), true);
            }
        }

        #[test]
        fn of_a_secret_little_is_shown(secret in ".{0,40}") {
            let shown = masked(&secret);
            prop_assert!(shown.chars().count() <= 5);
            prop_assert_eq!(shown.is_empty(), secret.is_empty());
        }
    }
}

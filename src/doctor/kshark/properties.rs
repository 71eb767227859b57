//! Settings as Kafka's own clients have them in files: `name=value`, with the names of librdkafka.

use std::collections::BTreeMap;

use reqwest::Url;

use super::{Plan, Web};
use crate::base::secret::Secret;
use crate::link::kafka::{Address, AddressError, Broker, Security, SecurityError, SecurityWords};

/// Lines of a file; real ones have a few dozen.
const LINES_MAX: usize = 10_000;
/// What is never shown.
const SECRETS: [&str; 6] = ["password", "secret", "user.info", "jaas", "api.key", "token"];

/// Settings that are there unless the file says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Preset {
    /// Confluent Cloud: TLS and PLAIN.
    CloudPlain,
    /// A cluster of one's own with TLS and SCRAM.
    SelfScram,
    Plaintext,
}

impl Preset {
    fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::CloudPlain => &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")],
            Self::SelfScram => &[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "SCRAM-SHA-512")],
            Self::Plaintext => &[("security.protocol", "PLAINTEXT")],
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PropertiesError {
    #[error("bootstrap.servers is of no use")]
    Brokers(#[source] AddressError),
    #[error("the settings do not fit each other")]
    Security(#[source] SecurityError),
    #[error("{name} is no address of a web server")]
    Url { name: &'static str },
}

/// Names and values; later ones win.
#[derive(Clone, Default)]
pub struct Properties {
    values: BTreeMap<String, Secret<String>>,
}

impl Properties {
    /// Reads lines of `name=value` or `name: value`; `#` and `!` begin comments, a backslash at the end continues a line.
    pub fn parse(text: &str) -> Self {
        let mut properties = Self::default();
        let mut whole = String::new();
        for line in text.lines().take(LINES_MAX) {
            let line = line.trim_start();
            if whole.is_empty() && (line.starts_with(['#', '!']) || line.is_empty()) {
                continue;
            }
            match line.strip_suffix('\\') {
                Some(begun) => whole.push_str(begun),
                None => {
                    whole.push_str(line);
                    properties.add(&std::mem::take(&mut whole));
                }
            }
        }
        properties.add(&whole);
        properties
    }

    fn add(&mut self, line: &str) {
        if let Some((name, value)) = line.split_once(['=', ':']) {
            self.set(name.trim(), value.trim());
        }
    }

    pub fn set(&mut self, name: &str, value: &str) {
        if !name.is_empty() {
            self.values.insert(name.to_owned(), Secret::new(value.to_owned()));
        }
    }

    /// Adds what is missing.
    pub fn preset(&mut self, preset: Preset) {
        for (name, value) in preset.settings() {
            self.values.entry((*name).to_owned()).or_insert_with(|| Secret::new((*value).to_owned()));
        }
    }

    fn get(&self, name: &str) -> String {
        self.values.get(name).map_or_else(String::new, |value| value.reveal().clone())
    }

    /// Where the brokers are and how they are spoken to.
    pub fn address(&self, client_id: &str) -> Result<Address, PropertiesError> {
        let path = |name: &str| Some(self.get(name)).filter(|path| !path.is_empty()).map(Into::into);
        let mechanism =
            [self.get("sasl.mechanism"), self.get("sasl.mechanisms")].into_iter().find(|name| !name.is_empty());
        let words = SecurityWords {
            protocol: self.get("security.protocol"),
            mechanism: mechanism.unwrap_or_default(),
            user: self.get("sasl.username"),
            password: Secret::new(self.get("sasl.password")),
            ca_file: path("ssl.ca.location"),
            certificate_file: path("ssl.certificate.location"),
            key_file: path("ssl.key.location"),
        };
        Ok(Address {
            brokers: Broker::list(&self.get("bootstrap.servers")).map_err(PropertiesError::Brokers)?,
            security: Security::new(words).map_err(PropertiesError::Security)?,
            client_id: client_id.to_owned(),
        })
    }

    /// Puts the web servers and the settings to show into `plan`.
    pub fn complete(&self, plan: &mut Plan) -> Result<(), PropertiesError> {
        let user = self.values.get("basic.auth.user.info").filter(|user| !user.is_empty());
        let web = |name: &'static str| -> Result<Option<Web>, PropertiesError> {
            let text = self.get(name);
            if text.is_empty() {
                return Ok(None);
            }
            let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            Ok(Some(Web { url: url.ok_or(PropertiesError::Url { name })?, user: user.cloned() }))
        };
        plan.registry = web("schema.registry.url")?;
        plan.rest = web("rest.proxy.url")?;
        plan.echo = self.echo();
        Ok(())
    }

    /// Every name with its value, secrets and passwords in addresses as `***`.
    pub fn echo(&self) -> Vec<(String, String)> {
        let shown = |(name, value): (&String, &Secret<String>)| {
            let is_secret = SECRETS.iter().any(|word| name.to_ascii_lowercase().contains(word));
            let has_credentials = value.reveal().contains("://") && value.reveal().contains('@');
            let value = if is_secret || has_credentials { "***".to_owned() } else { value.reveal().clone() };
            (name.clone(), value)
        };
        self.values.iter().map(shown).collect()
    }
}

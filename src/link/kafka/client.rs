//! What producer and consumer have in common: settings, log lines without secrets, and librdkafka's complaints as values.

use std::sync::Arc;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Address;
use crate::base::secret::Secret;

/// Unanswered requests end after this long, also when the broker keeps the connection and says nothing.
const ANSWER_WAIT_MS_MAX: &str = "10000";
const CONNECT_WAIT_MS_MAX: &str = "8000";
/// A broker that comes back is found soon; one that does not is not asked often.
const RECONNECT_MS_MIN: &str = "100";
const RECONNECT_MS_MAX: &str = "5000";

/// A client could not be made. Prints no value of a setting, because one is a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    #[error("librdkafka refuses the setting {name}: {reason}")]
    Setting { name: String, reason: String },
    #[error("librdkafka could not start: {0}")]
    Start(String),
    #[error("could not start the thread {0}")]
    Thread(&'static str),
}

/// What a running client complains about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No connection to any broker is left. librdkafka does not tell this where brokers have two addresses.
    Gone,
    /// A connection broke or could not be made; librdkafka mends it by itself.
    Broken(String),
    NameUnknown(String),
    Login(String),
    Tls(String),
    Denied(String),
    TopicMissing(String),
    /// Somebody else uses our group, which names this agent.
    IdTaken,
    /// The client is of no use any more and has to be made anew.
    Fatal(String),
    Other(String),
}

/// What a complaint means for whoever uses the client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// The client goes on.
    Note,
    /// There may be no way to a broker. With several brokers, another may do; whoever sends something finds out.
    ConnectionLost,
    /// The client has to be made anew, after a look at what is wrong.
    Useless,
}

/// Called on threads of the client; must return soon.
pub type OnTrouble = Arc<dyn Fn(Trouble) + Send + Sync>;

impl Trouble {
    pub fn weight(&self) -> Weight {
        match self {
            Self::Gone | Self::Broken(_) | Self::NameUnknown(_) => Weight::ConnectionLost,
            Self::Login(_) | Self::Tls(_) | Self::Fatal(_) => Weight::Useless,
            Self::Denied(_) | Self::TopicMissing(_) | Self::IdTaken | Self::Other(_) => Weight::Note,
        }
    }

    pub(super) fn of(error: &KafkaError, reason: &str) -> Self {
        let text = || if reason.is_empty() { error.to_string() } else { reason.to_owned() };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => Self::Gone,
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::NetworkException,
            ) => Self::Broken(text()),
            Some(RDKafkaErrorCode::Resolve) => Self::NameUnknown(text()),
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => Self::Login(text()),
            Some(RDKafkaErrorCode::SSL) => Self::Tls(text()),
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed,
            ) => Self::Denied(text()),
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Self::TopicMissing(text()),
            Some(
                RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::FencedInstanceId,
            ) => Self::IdTaken,
            Some(RDKafkaErrorCode::Fatal) => Self::Fatal(text()),
            _ => Self::Other(text()),
        }
    }
}

/// Settings that every client has.
pub fn settings(address: &Address) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.bootstrap());
    config.set("client.id", &address.client_id);
    config.set("socket.timeout.ms", ANSWER_WAIT_MS_MAX);
    config.set("socket.connection.setup.timeout.ms", CONNECT_WAIT_MS_MAX);
    config.set("socket.keepalive.enable", "true");
    config.set("socket.nagle.disable", "true");
    config.set("reconnect.backoff.ms", RECONNECT_MS_MIN);
    config.set("reconnect.backoff.max.ms", RECONNECT_MS_MAX);
    config.set("log.connection.close", "false");
    for (name, value) in address.security.settings() {
        config.set(name, value.reveal());
    }
    // Connections come and go; what matters of it arrives as `Trouble`.
    config.set_log_level(RDKafkaLogLevel::Notice);
    config
}

/// Without the value, which may be a password.
pub fn link_error(error: KafkaError) -> LinkError {
    match error {
        KafkaError::ClientConfig(_, reason, name, value) => {
            let reason = if value.is_empty() { reason } else { reason.replace(&value, "***") };
            LinkError::Setting { name, reason }
        }
        KafkaError::Nul(_) => LinkError::Setting { name: "?".to_owned(), reason: "it holds a zero byte".to_owned() },
        other => LinkError::Start(other.to_string()),
    }
}

/// Where librdkafka's lines and complaints go.
pub struct Ear {
    on_trouble: OnTrouble,
    password: Option<Secret<String>>,
}

impl Ear {
    pub fn new(address: &Address, on_trouble: OnTrouble) -> Self {
        let login = address.security.login();
        Self { on_trouble, password: login.map(|login| login.password.clone()) }
    }

    pub fn trouble(&self, trouble: Trouble) {
        (self.on_trouble)(trouble);
    }

    /// librdkafka is not known to print passwords; this makes sure.
    fn cleaned(&self, text: &str) -> String {
        match &self.password {
            Some(password) if !password.is_empty() => text.replace(password.reveal(), "***"),
            _ => text.to_owned(),
        }
    }
}

impl ClientContext for Ear {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, line: &str) {
        tracing::debug!(error = format!("{facility}: {}", self.cleaned(line)), "The Kafka client wrote a line.");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.trouble(Trouble::of(&error, &self.cleaned(reason)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::kafka::{Broker, Security, SecurityWords};

    #[test]
    fn a_password_is_in_no_line_and_in_no_error() {
        let words = SecurityWords {
            protocol: "SASL_PLAINTEXT".to_owned(),
            user: "hub".to_owned(),
            password: Secret::new("hush".to_owned()),
            ..SecurityWords::default()
        };
        let security = Security::new(words).expect("security");
        let brokers = Broker::list("localhost").expect("a broker");
        let address = Address { brokers, security, client_id: "hub".to_owned() };
        let ear = Ear::new(&address, Arc::new(|_| ()));
        assert_eq!(ear.cleaned("bad hush"), "bad ***");
        let mut config = settings(&address);
        assert!(!format!("{config:?}").contains("hush"));
        config.set("sasl.mechanism", "hush\0");
        let error = config.create_native_config().err().expect("refused");
        assert!(!format!("{:?}", link_error(error)).contains("hush"));
    }
}

//! What can be wrong between us and a broker, in words of whoever has to repair it.

use std::io;

use rustls::AlertDescription;

/// Why a step failed; [`Fault::advice`] says what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    #[error("the name {0} is not known")]
    NameUnknown(String),
    #[error("nothing listens there")]
    Refused,
    #[error("there is no way there: {0}")]
    Unreachable(String),
    #[error("no answer in time")]
    Silent,
    #[error("whoever listens there speaks no TLS")]
    NoTls,
    #[error("whoever listens there wants TLS")]
    WantsTls,
    #[error("a web server listens there")]
    Http,
    #[error("whoever listens there is no Kafka broker: {0}")]
    NotKafka(String),
    #[error("the broker closed the connection without a word")]
    Closed,
    #[error("the broker's certificate is over")]
    CertificateExpired,
    #[error("the broker's certificate is not valid yet")]
    CertificateNotYet,
    #[error("nobody we trust signed the broker's certificate")]
    CertificateUntrusted,
    #[error("the broker does not accept our certificate, or wants one: {0}")]
    CertificateWanted(String),
    #[error("a file cannot be used: {0}")]
    File(String),
    #[error("the broker does not take {wanted}, but {offered}")]
    Mechanism { wanted: &'static str, offered: String },
    #[error("user or password is wrong: {0}")]
    Login(String),
    #[error("the proof of the password failed")]
    Proof(#[from] super::wire::scram::ScramError),
    #[error("the broker is too old or too strange: it does not know {0}")]
    Version(&'static str),
    #[error("missing topics: {0}")]
    TopicsMissing(String),
    #[error("not allowed: {0}")]
    Denied(String),
    #[error("{0}")]
    Other(String),
}

impl Fault {
    pub fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Unreachable(error.to_string()),
        }
    }

    pub fn of_tls(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidMessage(_)) => Self::NoTls,
            Some(rustls::Error::AlertReceived(alert)) => Self::of_alert(*alert),
            Some(other) => Self::Other(other.to_string()),
            None if is_end(error) => Self::NoTls,
            None => Self::Other(error.to_string()),
        }
    }

    /// Of reading and writing behind the handshake. With TLS 1.3, a broker complains about our certificate only here.
    pub fn of_talk(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) => Self::of_alert(*alert),
            Some(other) => Self::Other(other.to_string()),
            None if is_end(error) => Self::Closed,
            None => Self::Other(error.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::HandshakeFailure => Self::CertificateWanted(format!("{alert:?}")),
            other => Self::Other(format!("the broker ended TLS: {other:?}")),
        }
    }

    /// What a person can do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NameUnknown(_) => "Check the broker's name, and that this machine reaches a name server.",
            Self::Refused => "Check the port, and that the broker runs and listens on this address.",
            Self::Unreachable(_) => "Check the network, the route and the address.",
            Self::Silent => "Check firewalls between here and the broker, and the address.",
            Self::NoTls => "Use PLAINTEXT or SASL_PLAINTEXT as security protocol, or the broker's TLS port.",
            Self::WantsTls => "Use SSL or SASL_SSL as security protocol.",
            Self::Http => "This is the port of a proxy or a web page; use the broker's own.",
            Self::NotKafka(_) => "Check host and port.",
            Self::Closed => {
                "The broker may want another security protocol on this port (a password, TLS, or neither); check its listeners."
            }
            Self::CertificateExpired => "Renew the broker's certificate; also check this machine's clock.",
            Self::CertificateNotYet => "Check this machine's clock.",
            Self::CertificateUntrusted => "Name the file with the certificate of the broker's authority as CA file.",
            Self::CertificateWanted(_) => "Give a client certificate and key that the broker's authority signed.",
            Self::File(_) => "Check the path and that its content is PEM without a passphrase.",
            Self::Mechanism { .. } => "Choose a mechanism that the broker offers.",
            Self::Login(_) => "Check user, password and mechanism; with SCRAM the user must have been made for it.",
            Self::Proof(_) => "Somebody may pretend to be the broker, or the user was made with other settings.",
            Self::Version(_) => "Use a broker that speaks the protocol of Kafka 0.11 or later.",
            Self::TopicsMissing(_) => "Create the topics, or allow this user to create them.",
            Self::Denied(_) => "Give this user the rights on the broker (ACLs).",
            Self::Other(_) => "See the reason.",
        }
    }

    /// Whether it stays like this until a person changes a setting here or there, so that asking often is of no use.
    pub fn is_lasting(&self) -> bool {
        !matches!(
            self,
            Self::NameUnknown(_)
                | Self::Refused
                | Self::Unreachable(_)
                | Self::Silent
                | Self::Closed
                | Self::CertificateNotYet
                | Self::Other(_)
        )
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

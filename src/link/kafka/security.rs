//! How a broker is spoken to: encrypted or not, with a password, with a certificate. Passwords are never printed.

use std::path::PathBuf;
use std::str::FromStr;

use crate::base::secret::Secret;

/// `security.protocol` of Kafka's clients.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Protocol {
    #[default]
    Plaintext,
    SaslPlaintext,
    Ssl,
    SaslSsl,
}

impl Protocol {
    pub fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub fn has_password(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslSsl => "SASL_SSL",
        }
    }
}

/// How the password is shown to the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

impl Mechanism {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecurityError {
    #[error("`{0}` is no security protocol; it is PLAINTEXT, SASL_PLAINTEXT, SSL or SASL_SSL")]
    Protocol(String),
    #[error("`{0}` is no mechanism; it is PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")]
    Mechanism(String),
    #[error("{0} needs a mechanism, a user and a password")]
    Incomplete(&'static str),
    #[error("a client certificate and its key are only of use together")]
    HalfCertificate,
    #[error("a client certificate or an authority is only of use with SSL or SASL_SSL")]
    Unused,
}

impl FromStr for Protocol {
    type Err = SecurityError;

    fn from_str(text: &str) -> Result<Self, SecurityError> {
        match text.trim().to_ascii_uppercase().as_str() {
            "" | "PLAINTEXT" => Ok(Self::Plaintext),
            "SASL_PLAINTEXT" => Ok(Self::SaslPlaintext),
            "SSL" => Ok(Self::Ssl),
            "SASL_SSL" => Ok(Self::SaslSsl),
            _ => Err(SecurityError::Protocol(text.to_owned())),
        }
    }
}

impl FromStr for Mechanism {
    type Err = SecurityError;

    fn from_str(text: &str) -> Result<Self, SecurityError> {
        match text.trim().to_ascii_uppercase().as_str() {
            "PLAIN" => Ok(Self::Plain),
            "SCRAM-SHA-256" => Ok(Self::ScramSha256),
            "SCRAM-SHA-512" => Ok(Self::ScramSha512),
            _ => Err(SecurityError::Mechanism(text.to_owned())),
        }
    }
}

/// A user and what proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    pub mechanism: Mechanism,
    pub user: String,
    pub password: Secret<String>,
}

/// A certificate of ours and its key, as PEM files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
}

/// Made by [`Security::new`], so that its parts fit each other.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Security {
    protocol: Protocol,
    login: Option<Login>,
    ca_file: Option<PathBuf>,
    client: Option<ClientCertificate>,
}

/// What a person wrote, before it is known to fit.
#[derive(Clone, Default, Debug)]
pub struct SecurityWords {
    pub protocol: String,
    pub mechanism: String,
    pub user: String,
    pub password: Secret<String>,
    pub ca_file: Option<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

impl Security {
    /// A mechanism may be left out where a user and a password are given: then it is PLAIN.
    pub fn new(words: SecurityWords) -> Result<Self, SecurityError> {
        let protocol: Protocol = words.protocol.parse()?;
        let login = if protocol.has_password() {
            if words.user.is_empty() || words.password.is_empty() {
                return Err(SecurityError::Incomplete(protocol.name()));
            }
            let mechanism = match words.mechanism.trim() {
                "" => Mechanism::Plain,
                name => name.parse()?,
            };
            Some(Login { mechanism, user: words.user, password: words.password })
        } else {
            None
        };
        let client = match (words.certificate_file, words.key_file) {
            (Some(certificate_file), Some(key_file)) => Some(ClientCertificate { certificate_file, key_file }),
            (None, None) => None,
            _ => return Err(SecurityError::HalfCertificate),
        };
        if !protocol.is_encrypted() && (client.is_some() || words.ca_file.is_some()) {
            return Err(SecurityError::Unused);
        }
        Ok(Self { protocol, login, ca_file: words.ca_file, client })
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    pub fn ca_file(&self) -> Option<&std::path::Path> {
        self.ca_file.as_deref()
    }

    pub fn client(&self) -> Option<&ClientCertificate> {
        self.client.as_ref()
    }

    /// Names and values of librdkafka's settings.
    pub(super) fn settings(&self) -> Vec<(&'static str, Secret<String>)> {
        let path = |path: &std::path::Path| Secret::new(path.to_string_lossy().into_owned());
        let mut settings = vec![("security.protocol", Secret::new(self.protocol.name().to_owned()))];
        if let Some(login) = &self.login {
            settings.push(("sasl.mechanism", Secret::new(login.mechanism.name().to_owned())));
            settings.push(("sasl.username", Secret::new(login.user.clone())));
            settings.push(("sasl.password", login.password.clone()));
        }
        if self.protocol.is_encrypted() {
            // Without a file of ours, the usual places of the system are searched: OpenSSL is compiled in and knows none.
            let authorities = self.ca_file.as_deref().map_or_else(|| Secret::new("probe".to_owned()), path);
            settings.push(("ssl.ca.location", authorities));
        }
        if let Some(client) = &self.client {
            settings.push(("ssl.certificate.location", path(&client.certificate_file)));
            settings.push(("ssl.key.location", path(&client.key_file)));
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(protocol: &str) -> SecurityWords {
        SecurityWords {
            protocol: protocol.to_owned(),
            user: "hub".to_owned(),
            password: Secret::new("hush".to_owned()),
            ..SecurityWords::default()
        }
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refuse = |words: SecurityWords| Security::new(words).expect_err("refused");
        assert_eq!(refuse(words("KERBEROS")), SecurityError::Protocol("KERBEROS".to_owned()));
        let gssapi = SecurityWords { mechanism: "GSSAPI".to_owned(), ..words("SASL_SSL") };
        assert_eq!(refuse(gssapi), SecurityError::Mechanism("GSSAPI".to_owned()));
        let nobody = SecurityWords { user: String::new(), ..words("sasl_ssl") };
        assert_eq!(refuse(nobody), SecurityError::Incomplete("SASL_SSL"));
        let half = SecurityWords { key_file: Some("key.pem".into()), ..words("SSL") };
        assert_eq!(refuse(half), SecurityError::HalfCertificate);
        let unused = SecurityWords { ca_file: Some("ca.pem".into()), ..words("") };
        assert_eq!(refuse(unused), SecurityError::Unused);
    }

    #[test]
    fn a_password_is_in_the_settings_and_in_no_print() {
        let security = Security::new(words("SASL_PLAINTEXT")).expect("security");
        assert!(!format!("{security:?}").contains("hush"));
        let settings = security.settings();
        assert!(!format!("{settings:?}").contains("hush"));
        assert!(settings.iter().any(|(name, value)| *name == "sasl.password" && value.reveal() == "hush"));
        assert!(settings.iter().any(|(name, value)| *name == "sasl.mechanism" && value.reveal() == "PLAIN"));
    }
}

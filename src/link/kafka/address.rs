//! Reads where brokers are: `host:port, other` with IPv6 in brackets, as `bootstrap.servers` has it.

use std::fmt;

/// Kafka's own.
const PORT_DEFAULT: u16 = 9092;
/// Addresses in one list.
const BROKERS_MAX: usize = 32;
/// The longest name that DNS allows.
const HOST_LETTERS_MAX: usize = 253;

/// A broker's door.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Broker {
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    #[error("no broker is named")]
    Empty,
    #[error("more than {BROKERS_MAX} brokers are named")]
    TooMany,
    #[error("`{0}` names no host")]
    Host(String),
    #[error("the port of `{0}` is no number from 1 to 65535")]
    Port(String),
}

impl Broker {
    /// Reads a list separated by commas or white space; the port may be left out. A scheme such as `SASL_SSL://` is passed over.
    pub fn list(text: &str) -> Result<Vec<Self>, AddressError> {
        let words = text.split(|letter: char| letter == ',' || letter.is_whitespace()).filter(|word| !word.is_empty());
        let mut brokers = Vec::new();
        for word in words {
            if brokers.len() == BROKERS_MAX {
                return Err(AddressError::TooMany);
            }
            let broker = Self::parse(word)?;
            if !brokers.contains(&broker) {
                brokers.push(broker);
            }
        }
        if brokers.is_empty() { Err(AddressError::Empty) } else { Ok(brokers) }
    }

    fn parse(word: &str) -> Result<Self, AddressError> {
        let host_error = || AddressError::Host(word.to_owned());
        let place = word.split_once("://").map_or(word, |(_, place)| place);
        let (host, port) = match place.strip_prefix('[') {
            Some(inside) => {
                let (host, tail) = inside.split_once(']').ok_or_else(host_error)?;
                (host, tail.strip_prefix(':').or_else(|| (!tail.is_empty()).then_some(tail)))
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let is_letter = |letter: char| letter.is_alphanumeric() || "-._:%".contains(letter);
        if host.is_empty() || host.len() > HOST_LETTERS_MAX || !host.chars().all(is_letter) {
            return Err(host_error());
        }
        let port = match port {
            None => PORT_DEFAULT,
            Some(port) => match port.parse() {
                Ok(port) if port > 0 => port,
                _ => return Err(AddressError::Port(word.to_owned())),
            },
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_people_write_them() {
        let read =
            |text: &str| Broker::list(text).map(|brokers| brokers.iter().map(Broker::to_string).collect::<Vec<_>>());
        assert_eq!(read("kafka"), Ok(vec!["kafka:9092".to_owned()]));
        assert_eq!(read(" a:1, b:2 a:1,"), Ok(vec!["a:1".to_owned(), "b:2".to_owned()]));
        assert_eq!(
            read("SASL_SSL://[::1]:9093,[fe80::1]"),
            Ok(vec!["[::1]:9093".to_owned(), "[fe80::1]:9092".to_owned()])
        );
        assert_eq!(read(" , "), Err(AddressError::Empty));
        assert_eq!(read("a:0"), Err(AddressError::Port("a:0".to_owned())));
        assert_eq!(read("[::1]9092x"), Err(AddressError::Port("[::1]9092x".to_owned())));
        assert_eq!(read(":9092"), Err(AddressError::Host(":9092".to_owned())));
        assert_eq!(read("user@host"), Err(AddressError::Host("user@host".to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn what_was_read_is_read_again_the_same(text in ".{0,60}") {
            if let Ok(brokers) = Broker::list(&text) {
                let written: Vec<String> = brokers.iter().map(Broker::to_string).collect();
                proptest::prop_assert_eq!(Broker::list(&written.join(",")), Ok(brokers));
            }
        }
    }
}

//! Reads a broker's address: `mqtt://user:pass@host:1883`, `mqtts://host`, IPv6 in brackets, percent-encoded credentials.

use std::fmt;

use crate::base::secret::Secret;

const PORT_PLAIN: u16 = 1883;
const PORT_TLS: u16 = 8883;

/// Where the broker is and how to log in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub encryption: Encryption,
    /// A name or an IP address; IPv6 without brackets.
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Secret<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    Plain,
    Tls,
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AddressError {
    #[error("a broker's address begins with mqtt:// or mqtts://")]
    Scheme,
    #[error("the broker's address names no host")]
    Host,
    #[error("the port of the broker's address is a number from 1 to 65535")]
    Port,
    #[error("the user or password of the broker's address has a broken %-escape")]
    Escape,
    #[error("the broker's address ends after the port; a path or query means nothing here")]
    Tail,
}

impl Address {
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(AddressError::Scheme)?;
        let (encryption, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" | "tcp" => (Encryption::Plain, PORT_PLAIN),
            "mqtts" | "ssl" => (Encryption::Tls, PORT_TLS),
            _ => return Err(AddressError::Scheme),
        };
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(AddressError::Tail);
        }
        let (host, port) = split_port(place, default_port)?;
        let (username, password) = split_credentials(credentials)?;
        Ok(Self { encryption, host, port, username, password: Secret::new(password) })
    }

    /// `host:port` as sockets want it, IPv6 in brackets.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.bracketed_host(), self.port)
    }

    pub(super) fn bracketed_host(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// Without credentials, so that it may be logged.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.encryption {
            Encryption::Plain => "mqtt",
            Encryption::Tls => "mqtts",
        };
        write!(f, "{scheme}://{}", self.authority())
    }
}

fn split_port(place: &str, default_port: u16) -> Result<(String, u16), AddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inside) => {
            let (host, tail) = inside.split_once(']').ok_or(AddressError::Host)?;
            match tail.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if tail.is_empty() => (host, None),
                None => return Err(AddressError::Port),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if host.is_empty()
        || host.contains(|letter: char| letter.is_whitespace() || letter.is_control() || "[]@".contains(letter))
    {
        return Err(AddressError::Host);
    }
    let port = match port {
        None => default_port,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| AddressError::Port)?
        }
        Some(_) => return Err(AddressError::Port),
    };
    if port == 0 {
        return Err(AddressError::Port);
    }
    Ok((host.to_owned(), port))
}

fn split_credentials(credentials: Option<&str>) -> Result<(Option<String>, String), AddressError> {
    let Some(credentials) = credentials else { return Ok((None, String::new())) };
    let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let username = unescape(username)?;
    Ok(((!username.is_empty()).then_some(username), unescape(password)?))
}

fn unescape(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (Some(high), Some(low)) = (hex_digit(rest.first()), hex_digit(rest.get(1))) else {
            return Err(AddressError::Escape);
        };
        bytes.push(high * 16 + low);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Escape)
}

fn hex_digit(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_in_every_form_are_read() {
        for (url, host, port, username, password) in [
            ("mqtt://broker.local", "broker.local", 1883, None, ""),
            ("mqtts://10.0.0.2/", "10.0.0.2", 8883, None, ""),
            ("MQTT://u:p@h:1", "h", 1, Some("u"), "p"),
            ("mqtt://u%40home:p%3A%2Fss@[fe80::1]:1884", "fe80::1", 1884, Some("u@home"), "p:/ss"),
            ("mqtt://user:p@ss@host", "host", 1883, Some("user"), "p@ss"),
            ("mqtt://[::1]", "::1", 1883, None, ""),
        ] {
            let address = Address::parse(url).expect(url);
            assert_eq!((address.host.as_str(), address.port), (host, port), "{url}");
            assert_eq!(address.username.as_deref(), username, "{url}");
            assert_eq!(address.password.reveal(), password, "{url}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (url, expected) in [
            ("broker", AddressError::Scheme),
            ("http://broker", AddressError::Scheme),
            ("mqtt://", AddressError::Host),
            ("mqtt://host:0", AddressError::Port),
            ("mqtt://host:99999", AddressError::Port),
            ("mqtt://host:+1", AddressError::Port),
            ("mqtt://u%4@host", AddressError::Escape),
            ("mqtt://u%ff@host", AddressError::Escape),
            ("mqtt://host/path", AddressError::Tail),
        ] {
            assert_eq!(Address::parse(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn an_address_prints_without_its_password() {
        let address = Address::parse("mqtt://me:secret@host").expect("an address");
        assert_eq!(address.to_string(), "mqtt://host:1883");
        assert!(!format!("{address:?}").contains("secret"));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(url in "(mqtts?://)?.*") {
            let _ = Address::parse(&url);
        }

        #[test]
        fn escaped_credentials_come_back(username in "\\PC{1,12}", password in "\\PC{0,12}", port in 1_u16..) {
            let escape = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
            let url = format!("mqtt://{}:{}@host:{port}", escape(&username), escape(&password));
            let address = Address::parse(&url).expect("an address");
            prop_assert_eq!(address.username, Some(username));
            prop_assert_eq!(address.password.reveal(), &password);
            prop_assert_eq!(address.port, port);
        }
    }
}

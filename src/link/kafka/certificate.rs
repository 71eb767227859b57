//! Until when a certificate holds: the one field of X.509 that TLS libraries do not tell (RFC 5280, section 4.1).

use chrono::{DateTime, NaiveDate, Utc};

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which certificates of version 1 leave out.
const VERSION: u8 = 0xA0;

/// `notAfter` of a certificate in DER; none when the bytes are no certificate.
pub fn not_after(der: &[u8]) -> Option<DateTime<Utc>> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, algorithm and issuer stand in front.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, tag)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, _, end) = any(validity)?;
    let (tag, text, _) = any(end)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = any(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content, and what comes behind.
fn any(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        // Four bytes of length are more than any certificate has.
        let count = usize::from(first & 0x7F);
        let (digits, rest) = (1..=4).contains(&count).then(|| rest.split_at_checked(count)).flatten()?;
        (digits.iter().fold(0_usize, |len, digit| (len << 8) | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year (RFC 5280, section 4.1.2.5).
fn time(tag: u8, text: &str) -> Option<DateTime<Utc>> {
    let digits = text.strip_suffix('Z').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let (year, rest) = match tag {
        UTC_TIME if digits.len() == 12 => {
            let year: i32 = digits[..2].parse().ok()?;
            (if year < 50 { 2_000 + year } else { 1_900 + year }, &digits[2..])
        }
        GENERALIZED_TIME if digits.len() == 14 => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let pair = |at: usize| rest[at..at + 2].parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(year, pair(0)?, pair(2)?)?;
    Some(date.and_hms_opt(pair(4)?, pair(6)?, pair(8)?)?.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn the_end_of_a_real_certificate_is_found() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/broker.pem");
        let certificate = CertificateDer::from_pem_file(path).expect("a certificate");
        let end = not_after(&certificate).expect("an end");
        assert!(end.timestamp() > 1_795_000_000, "{end}");
        assert_eq!(not_after(&certificate[..certificate.len() - 1]), None);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let read = |tag, text: &str| time(tag, text).map(|time| time.to_rfc3339());
        assert_eq!(read(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59+00:00"));
        assert_eq!(read(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00+00:00"));
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00+00:00"));
        assert_eq!(read(GENERALIZED_TIME, "20501301000000Z"), None);
        assert_eq!(read(UTC_TIME, "4912312359é"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, at: usize) {
            let _ = not_after(&bytes);
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/broker.pem");
            let certificate = CertificateDer::from_pem_file(path).expect("a certificate").to_vec();
            let at = at % certificate.len();
            bytes.truncate(certificate.len() - at);
            let mut broken = certificate.clone();
            broken[at..at + bytes.len()].copy_from_slice(&bytes);
            let _ = not_after(&broken);
        }
    }
}

//! The few requests that are asked without librdkafka, and their answers (Kafka protocol guide; versions that Kafka 0.11 to 4 speak).

use super::codec::{CodecError, Reader, Writer};

/// A request's number and version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Api {
    pub key: i16,
    pub version: i16,
}

pub const METADATA: Api = Api { key: 3, version: 4 };
pub const SASL_HANDSHAKE: Api = Api { key: 17, version: 1 };
pub const API_VERSIONS: Api = Api { key: 18, version: 0 };
/// Version 4 is the first that takes the broker's own defaults.
pub const CREATE_TOPICS: Api = Api { key: 19, version: 4 };
pub const SASL_AUTHENTICATE: Api = Api { key: 36, version: 0 };

/// Names of numbers that brokers answer with (`org.apache.kafka.common.protocol.Errors`).
pub mod code {
    pub const NONE: i16 = 0;
    pub const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;
    pub const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
    pub const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
    pub const TOPIC_ALREADY_EXISTS: i16 = 36;
    pub const SASL_AUTHENTICATION_FAILED: i16 = 58;
}

/// What a broker understands: key, oldest and newest version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Versions {
    pub error: i16,
    pub ranges: Vec<(i16, i16, i16)>,
}

impl Versions {
    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let error = reader.i16()?;
        let ranges = reader.list(|reader| Ok((reader.i16()?, reader.i16()?, reader.i16()?)))?;
        Ok(Self { error, ranges })
    }

    pub fn understands(&self, api: Api) -> bool {
        self.ranges.iter().any(|(key, oldest, newest)| *key == api.key && (*oldest..=*newest).contains(&api.version))
    }
}

/// Where the brokers say they are, and how topics are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// Node id, host, port.
    pub brokers: Vec<(i32, String, i32)>,
    pub controller: i32,
    pub topics: Vec<Topic>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Topic {
    pub error: i16,
    pub name: String,
    pub partitions: Vec<Partition>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Partition {
    pub error: i16,
    pub index: i32,
    pub leader: i32,
}

impl Metadata {
    /// Asks about `topics` and makes none.
    pub fn request(topics: &[String]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.list(topics, |writer, topic| {
            writer.text(topic);
        });
        writer.flag(false);
        writer.bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let _throttle_ms = reader.i32()?;
        let brokers = reader.list(|reader| {
            let (id, host, port) = (reader.i32()?, reader.text()?.unwrap_or_default().to_owned(), reader.i32()?);
            let _rack = reader.text()?;
            Ok((id, host, port))
        })?;
        let _cluster = reader.text()?;
        let controller = reader.i32()?;
        let topics = reader.list(|reader| {
            let (error, name) = (reader.i16()?, reader.text()?.unwrap_or_default().to_owned());
            let _is_internal = reader.flag()?;
            Ok(Topic { error, name, partitions: reader.list(Self::partition)? })
        })?;
        Ok(Self { brokers, controller, topics })
    }

    fn partition(reader: &mut Reader<'_>) -> Result<Partition, CodecError> {
        let partition = Partition { error: reader.i16()?, index: reader.i32()?, leader: reader.i32()? };
        let _replicas = reader.list(Reader::i32)?;
        let _in_sync = reader.list(Reader::i32)?;
        Ok(partition)
    }
}

/// Which mechanisms the broker would take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handshake {
    pub error: i16,
    pub mechanisms: Vec<String>,
}

impl Handshake {
    pub fn request(mechanism: &str) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.text(mechanism);
        writer.bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let error = reader.i16()?;
        let mechanisms = reader.list(|reader| Ok(reader.text()?.unwrap_or_default().to_owned()))?;
        Ok(Self { error, mechanisms })
    }
}

/// One step of a proof.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authenticated {
    pub error: i16,
    pub reason: String,
    pub token: Vec<u8>,
}

impl Authenticated {
    pub fn request(token: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(token);
        writer.bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let error = reader.i16()?;
        let reason = reader.text()?.unwrap_or_default().to_owned();
        Ok(Self { error, reason, token: reader.bytes()?.to_owned() })
    }
}

/// What became of each topic that was to be made: name, error, reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Created {
    pub topics: Vec<(String, i16, String)>,
}

impl Created {
    /// `-1` partitions or replicas: as the broker likes.
    pub fn request(topics: &[String], partitions: i32, wait_ms_max: i32) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.list(topics, |writer, topic| {
            writer.text(topic).i32(partitions).i16(-1);
            writer.list::<i32>(&[], |_, _| ()).list::<i32>(&[], |_, _| ());
        });
        writer.i32(wait_ms_max).flag(false);
        writer.bytes
    }

    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::new(bytes);
        let _throttle_ms = reader.i32()?;
        let topics = reader.list(|reader| {
            let (name, error) = (reader.text()?.unwrap_or_default().to_owned(), reader.i16()?);
            Ok((name, error, reader.text()?.unwrap_or_default().to_owned()))
        })?;
        Ok(Self { topics })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_the_guide_has_it() {
        let mut writer = Writer::default();
        writer.i32(0).list(&[(1, "hub.local")], |writer, (id, host)| {
            writer.i32(*id).text(host).i32(9092).i16(-1);
        });
        writer.text("cluster").i32(1);
        writer.list(&["a"], |writer, name| {
            writer.i16(0).text(name).flag(false);
            writer.list(&[0], |writer, index| {
                writer.i16(0).i32(*index).i32(1).list(&[1], |writer, id| {
                    writer.i32(*id);
                });
                writer.list(&[1], |writer, id| {
                    writer.i32(*id);
                });
            });
        });
        let metadata = Metadata::read(&writer.bytes).expect("metadata");
        assert_eq!(metadata.brokers, [(1, "hub.local".to_owned(), 9092)]);
        let partition = Partition { error: 0, index: 0, leader: 1 };
        assert_eq!(metadata.topics, [Topic { error: 0, name: "a".to_owned(), partitions: vec![partition] }]);
    }

    proptest::proptest! {
        #[test]
        fn answers_of_any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Versions::read(&bytes);
            let _ = Metadata::read(&bytes);
            let _ = Handshake::read(&bytes);
            let _ = Authenticated::read(&bytes);
            let _ = Created::read(&bytes);
        }

        /// An element that reads nothing would let an announced count take all memory; every element here reads something.
        #[test]
        fn a_cut_answer_is_refused(cut in 0_usize..20) {
            let mut writer = Writer::default();
            writer.i16(0).list(&["PLAIN", "X"], |writer, name| {
                writer.text(name);
            });
            let bytes = &writer.bytes[..cut.min(writer.bytes.len() - 1)];
            proptest::prop_assert_eq!(Handshake::read(bytes), Err(CodecError::Short));
        }
    }
}

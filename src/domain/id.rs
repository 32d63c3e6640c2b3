//! Identifiers. Time and randomness are arguments, so that a test can say which id comes next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{Builder, Uuid, Variant, Version};

use super::time::Timestamp;

/// The text is not a canonical lowercase UUIDv7.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected a lowercase UUID of version 7")]
pub struct NotAnId;

/// Names one decision, and the credential it allowed, if it did: one allow decision mints one
/// credential, so they share the id. A UUIDv7 (RFC 9562 section 5.7), the token's `jti`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CredentialId(Uuid);

/// Names one request that operators decide. A UUIDv7.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApprovalId(Uuid);

/// Joins a request, its approval, its credentials and their children. A UUIDv7, the token's `txn`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lineage(Uuid);

/// A certificate's serial number: 128 bits with the first bit 0 and the next 1, so that it is positive,
/// never zero and always 16 octets in DER (RFC 5280 section 4.1.2.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

macro_rules! uuid7 {
    ($name:ident) => {
        impl $name {
            /// A new id from the time and ten random bytes.
            pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
                // `Timestamp` is never negative.
                Self(Builder::from_unix_timestamp_millis(now.millis().unsigned_abs(), random).into_uuid())
            }

            /// The 16 bytes, big endian: they sort by time.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From 16 bytes.
            ///
            /// # Errors
            /// When version or variant are not those of a UUIDv7.
            pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, NotAnId> {
                version_7(Uuid::from_bytes(bytes)).map(Self)
            }

            /// The time in the id.
            pub fn time(&self) -> Timestamp {
                let [a, b, c, d, e, f, ..] = *self.0.as_bytes();
                Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let canonical = text.len() == 36 && !text.bytes().any(|b| b.is_ascii_uppercase());
                let uuid = Uuid::try_parse(text).map_err(|_| NotAnId)?;
                if canonical { version_7(uuid).map(Self) } else { Err(NotAnId) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

uuid7!(ApprovalId);
uuid7!(CredentialId);
uuid7!(Lineage);

fn version_7(uuid: Uuid) -> Result<Uuid, NotAnId> {
    let right = uuid.get_version() == Some(Version::SortRand) && uuid.get_variant() == Variant::RFC4122;
    if right { Ok(uuid) } else { Err(NotAnId) }
}

impl Serial {
    /// From 16 random bytes; the two leading bits are set to `01`.
    pub const fn new(random: [u8; 16]) -> Self {
        let mut bytes = random;
        let [first, ..] = &mut bytes;
        *first = (*first & 0x3f) | 0x40;
        Self(bytes)
    }

    /// The 16 octets, big endian.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnId)?;
        let serial = Self::new(bytes);
        if serial.0 == bytes && serial.to_string() == text { Ok(serial) } else { Err(NotAnId) }
    }
}

impl Serialize for Serial {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Serial {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_time_and_round_trips() {
        let now = Timestamp::from_millis(1_763_900_000_123);
        let id = CredentialId::new(now, &[7; 10]);
        assert_eq!(id.time(), now);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(CredentialId::from_bytes(*id.as_bytes()), Ok(id));
    }

    #[test]
    fn only_the_canonical_form_of_version_7_is_read() {
        let id = CredentialId::new(Timestamp::from_millis(1), &[0xff; 10]).to_string();
        for bad in [
            id.to_uppercase(),
            id.replace('-', ""),
            format!("{{{id}}}"),
            format!("urn:uuid:{id}"),
            "f47ac10b-58cc-4372-a567-0e02b2c3d479".to_owned(),
            String::new(),
        ] {
            assert_eq!(bad.parse::<CredentialId>(), Err(NotAnId), "{bad}");
        }
    }

    #[test]
    fn a_serial_is_positive_and_sixteen_octets() {
        for random in [[0; 16], [0xff; 16]] {
            let serial = Serial::new(random);
            assert_eq!(serial.as_bytes().first().map(|b| b & 0xc0), Some(0x40));
            assert_eq!(serial.to_string().parse(), Ok(serial));
        }
        assert_eq!("00".repeat(16).parse::<Serial>(), Err(NotAnId));
    }
}

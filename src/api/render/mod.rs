//! Domain to proto. It knows no use case, reads no clock and never sees a secret.

pub mod approval;
pub mod credential;
pub mod enrollment;
pub mod glass;
pub mod inventory;
pub mod revocation;

use crate::domain::time::Timestamp;

/// A point in time.
pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let nanos = time.millis().rem_euclid(1000).saturating_mul(1_000_000);
    prost_types::Timestamp { seconds: time.seconds(), nanos: i32::try_from(nanos).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_keeps_its_milliseconds() {
        let time = timestamp(Timestamp::from_millis(1_700_000_000_123));
        assert_eq!((time.seconds, time.nanos), (1_700_000_000, 123_000_000));
    }
}

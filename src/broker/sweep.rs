//! Sweep: expired records leave the index after the retention time, never the log.

use crate::store::ReadError;

use super::Broker;

impl Broker {
    /// Takes expired records out of the index and forgets quiet callers' rate limits. Gives how many
    /// records it took out.
    ///
    /// # Errors
    /// When the index can't be read or written.
    pub async fn sweep(&self) -> Result<u64, ReadError> {
        self.limits.forget();
        let now = self.time();
        self.read(move |reader| reader.sweep(now)).await
    }
}

//! Sweep: expired records leave the index after the retention time, never the log.

use crate::store::ReadError;

use super::Broker;

impl Broker {
    /// Takes expired records out of the index, forgets quiet callers' rate limits, and carries forward what an
    /// emergency start needs of the older entries. Gives how many records it took out.
    ///
    /// # Errors
    /// When the index can't be read or written.
    pub async fn sweep(&self) -> Result<u64, ReadError> {
        self.limits.forget();
        let swept = self.read(|reader| reader.sweep()).await?;
        match self.read(|reader| reader.carry_forward()).await {
            Ok(from) => tracing::debug!(?from, "an emergency start reads the log from here on"),
            Err(error) => {
                tracing::warn!(%error, "nothing was carried forward: an emergency start has more of the log to read");
            }
        }
        Ok(swept)
    }
}

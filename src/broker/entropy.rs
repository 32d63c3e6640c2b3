//! The source of randomness for ids and serial numbers.

use ring::rand::{SecureRandom, SystemRandom};

/// Fills buffers with unpredictable bytes. An implementer promises: uniform, independent, or an error.
pub trait Entropy: Send + Sync {
    /// Fills `buffer`.
    ///
    /// # Errors
    /// When the source can't be read. Then nothing may be minted.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// The source of randomness could not be read.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the source of randomness can't be read")]
pub struct EntropyFailed;

/// The kernel's generator.
#[derive(Debug)]
pub struct SystemEntropy(SystemRandom);

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyFailed> {
        self.0.fill(buffer).map_err(|_| EntropyFailed)
    }
}

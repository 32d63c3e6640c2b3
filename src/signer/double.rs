//! A test double of `Signer`: a key that fails when told to. It is public because tests of the rooms above
//! need it; nothing in the daemon makes one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::signer::{Algorithm, Signer, SigningFailed};

/// Signs with another signer until it is told to fail.
pub struct FailingSigner {
    inner: Arc<dyn Signer>,
    failing: AtomicBool,
}

impl FailingSigner {
    /// A double of `inner` that fails from the start.
    pub fn new(inner: Arc<dyn Signer>) -> Self {
        Self { inner, failing: AtomicBool::new(true) }
    }

    /// From now on it fails, or works again.
    pub fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }
}

impl Signer for FailingSigner {
    fn algorithm(&self) -> Algorithm {
        self.inner.algorithm()
    }

    fn kid(&self) -> &str {
        self.inner.kid()
    }

    fn public_key(&self) -> &[u8] {
        self.inner.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningFailed> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(SigningFailed { kid: self.inner.kid().to_owned() });
        }
        self.inner.sign(message)
    }
}

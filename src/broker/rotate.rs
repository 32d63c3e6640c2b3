//! Rotate: another key signs tokens. Drafted, recorded, put in force; a crash between any two of them is
//! mended at the next start, by what the record says.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::entry::{Entry, Event, Rotation};
use crate::domain::ledger::Command;
use crate::domain::limits::PAGE_SIZE_MAX;
use crate::domain::name::OperatorName;
use crate::domain::revocation::Selector;
use crate::domain::time::Timestamp;
use crate::signer::keystore::KeyStoreError;
use crate::signer::token_keys::TokenKeyView;
use crate::store::{LedgerError, ReadError};

use super::Broker;
use super::operate::Authorized;

/// Why no other key signs.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// The change did not end.
    #[error("the rotation was interrupted; the next start finishes or undoes it")]
    Interrupted,
    /// The keys could not be changed.
    #[error(transparent)]
    Keys(#[from] KeyStoreError),
    /// The rotation could not be recorded, or the log does not believe the clock: it does not take effect.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An operator of some tenants can't change what all tenants' tokens are signed with.
    #[error("an operator of some tenants can't rotate the key of all")]
    Scope,
}

impl Broker {
    /// Makes a new key that is published at once and signs after the configured time, or at once. Gives the
    /// key's facts.
    ///
    /// # Errors
    /// [`RotateError`].
    pub async fn rotate_token_key(
        self: &Arc<Self>,
        by: &Authorized,
        at_once: bool,
    ) -> Result<TokenKeyView, RotateError> {
        if !by.operator().tenants.is_empty() {
            return Err(RotateError::Scope);
        }
        let (broker, operator) = (Arc::clone(self), by.operator().name.clone());
        // A caller that goes away does not leave it half done.
        let rotation = tokio::spawn(async move { broker.rotate(operator, at_once).await });
        rotation.await.map_err(|_| RotateError::Interrupted)?
    }

    async fn rotate(&self, operator: OperatorName, at_once: bool) -> Result<TokenKeyView, RotateError> {
        let _one_at_a_time = self.rotating.lock().await;
        let ring = self.minter.keys().token_ring();
        let ahead = if at_once { Duration::ZERO } else { self.key_publish_ahead };
        let use_at = self.believed_time()?.plus_millis(i64::try_from(ahead.as_millis()).unwrap_or(i64::MAX));
        let draft = ring.draft(self.ledger.status().size)?;
        let rotation = Rotation { kid: draft.kid.clone(), operator, use_at };
        match self.ledger.submit(Command::Rotate(rotation)).await {
            Ok(_) => {}
            // It may be in the log: the next start looks.
            Err(error @ LedgerError::Stopped(_)) => return Err(error.into()),
            Err(error) => {
                ring.discard()?;
                return Err(error.into());
            }
        }
        // Nothing that was minted with the old key may be issued after the new one signs.
        ring.commit(use_at.max(self.time()))?;
        let views = ring.keys().views(self.time());
        views.into_iter().find(|view| view.kid == draft.kid).ok_or(RotateError::Interrupted)
    }

    /// Puts a key in force that was recorded before a crash, and erases one that was not. Called at the
    /// start, before anything is minted.
    ///
    /// # Errors
    /// [`RotateError`]; then nothing may be minted.
    pub async fn finish_rotation(&self) -> Result<(), RotateError> {
        let ring = self.minter.keys().token_ring();
        let Some(draft) = ring.draft_left() else { return Ok(()) };
        let kid = draft.kid.clone();
        let recorded = self.read(move |reader| {
            let mut next = draft.since;
            loop {
                let entries = reader.entries(next, PAGE_SIZE_MAX)?;
                if entries.is_empty() {
                    return Ok(None);
                }
                for json in &entries {
                    let entry = Entry::from_json(json);
                    let entry = entry.map_err(|source| ReadError::Entry { index: next, source })?;
                    if let Event::Rotate(rotation) = &entry.event
                        && rotation.kid == draft.kid
                    {
                        return Ok(Some(rotation.use_at));
                    }
                    next = next.saturating_add(1);
                }
            }
        });
        match recorded.await? {
            Some(use_at) => {
                tracing::warn!(%kid, "a crash came between a key's record and its use; it is in force now");
                ring.commit(use_at.max(self.time()))?;
            }
            None => {
                tracing::warn!(%kid, "a key was drafted and not recorded before a crash; it is erased");
                ring.discard()?;
            }
        }
        Ok(())
    }

    /// Drops the keys whose last token has ended, and erases their private halves. Gives their ids.
    ///
    /// # Errors
    /// When the log does not believe the clock, or the keys can't be changed.
    pub async fn drop_token_keys(&self) -> Result<Vec<String>, RotateError> {
        let _one_at_a_time = self.rotating.lock().await;
        // An erased key is gone for good, so a clock that is only far ahead must not say that its time is over.
        let now = self.believed_time()?;
        Ok(self.minter.keys().token_ring().drop_ended(now)?)
    }

    /// Whether the selector names a token key that another one took over from. Nothing is minted with it any more.
    pub(super) fn names_succeeded_key(&self, selector: &Selector) -> bool {
        let Selector::Key(kid) = selector else { return false };
        self.minter.keys().token_ring().keys().has_succeeded(kid.as_str(), self.time())
    }

    /// Drops the token keys that the ledger ended for good: they leave the key set at once. Gives their ids.
    ///
    /// # Errors
    /// When the keys can't be changed on disk; the next start tries again.
    pub async fn drop_ended_keys(&self) -> Result<Vec<String>, RotateError> {
        let _one_at_a_time = self.rotating.lock().await;
        let (ring, revocations, now) =
            (self.minter.keys().token_ring(), self.ledger.revocations(), self.time());
        let keys = ring.keys();
        let mut dropped = Vec::new();
        for key in keys.all().filter(|key| revocations.key_ended(key.kid())) {
            if ring.end(key.kid(), now)? {
                dropped.push(key.kid().to_owned());
            }
        }
        Ok(dropped)
    }

    /// The token keys' public facts.
    pub fn token_keys(&self) -> (Vec<TokenKeyView>, Timestamp) {
        let now = self.time();
        (self.minter.keys().token_ring().keys().views(now), now)
    }
}

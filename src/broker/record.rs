//! Steps 4 and 5: make the record durable, then break the seal. Nothing leaves before.

use crate::domain::credential::Issuance;
use crate::domain::ledger::{Command, Refusal};
use crate::signer::minter::Minter;
use crate::store::{Ledger, LedgerError};

use super::issue::IssueError;
use super::seal::{Form, Sealed, seal_again};

/// A credential whose record is on stable storage: the only way to its material. Made only here.
#[derive(Debug)]
pub(super) struct Recorded<M> {
    sealed: Sealed<M>,
    index: u64,
}

impl<M> Recorded<M> {
    /// Step 5: the record, its log index, and what the holder gets.
    pub(super) fn release(self) -> (Box<Issuance>, u64, M) {
        let (issuance, material) = self.sealed.into_parts();
        (issuance, self.index, material)
    }
}

/// Records a sealed credential. A retry of a recorded request gives the record that there is.
pub(super) async fn record<F: Form>(
    ledger: &Ledger,
    sealed: Sealed<F::Material>,
    form: &F,
    minter: &Minter,
) -> Result<Recorded<F::Material>, IssueError> {
    let command = Command::Issue(Box::new(sealed.issuance().clone()));
    match ledger.submit(command).await {
        Ok(receipt) => Ok(Recorded { sealed, index: receipt.index() }),
        Err(LedgerError::Refused(Refusal::Repeated(issuance, index))) => {
            let again = seal_again(issuance, form, minter)?;
            again.map(|sealed| Recorded { sealed, index }).ok_or(IssueError::NotRepeatable)
        }
        Err(error) => Err(error.into()),
    }
}

//! The ledger's engine: a fdatasync'd journal that is the log, sled as the index, one writer.
//!
//! [`Ledger`] is the door. The journal is the authority; index and tiles are derived from it and made anew
//! when they are gone. The rules of what may change are `domain::ledger`'s.

mod carried;
mod count;
mod emergency;
pub mod ends;
pub mod engine;
mod error;
pub mod fault;
mod gather;
pub mod index;
pub mod journal;
mod ledger;
mod lock;
pub mod medium;
mod notable;
mod open;
pub mod proof;
mod queue;
mod reader;
mod recent;
mod replay;
mod suspect;
pub mod tree;
mod trust;
pub mod verify;
mod writer;

pub use count::{Count, Covered};
pub use emergency::{prepare as prepare_emergency, sweep as sweep_emergencies};
pub use engine::{Batch, Place, Store, StoreError};
pub use error::LedgerError;
pub use journal::recovery::Damage;
pub use ledger::{Ledger, LedgerStatus, Recorded};
pub use notable::Numbered;
pub use open::{OpenError, Options};
pub use reader::{Filter, Page, PageToken, ReadError, Reader};

//! The words of the trade: pure values and rules.
//!
//! This floor knows no I/O, no async, no clock of its own and no wire format but the log's.
//! Everything above speaks in these types.

pub mod agent;
pub mod approval;
pub mod break_glass;
pub mod catalogue;
pub mod clock;
pub mod constraint;
pub mod consumption;
pub mod credential;
pub mod denial;
pub mod digest;
pub mod emergency;
pub mod enrollment;
pub mod entry;
pub mod evidence;
#[cfg(test)]
pub mod fixture;
pub mod id;
pub mod ledger;
pub mod limits;
pub mod live;
pub mod lost_feed;
pub mod memory;
pub mod merkle;
pub mod name;
pub mod note;
pub mod operator;
pub mod parameter;
pub mod playbook;
pub mod registry;
pub mod registry_files;
pub mod request;
pub mod resource;
pub mod revocation;
pub mod route;
pub mod signer;
pub mod spiffe;
pub mod ssh_key;
pub mod statement;
pub mod status_list;
pub mod stopped;
pub mod time;
pub mod wording;

//! Keys, and the forms that are signed with them: tokens and certificates.
//!
//! It knows records, keys and formats. It must not know who asked, why it was allowed, or where records are
//! kept. The road of a credential: [`token::unsigned`] or [`certificate::unsigned`], then
//! [`mint::Unsigned::lint`], then [`mint::Linted::sign`]; no step can be left out.

pub mod ca;
pub mod certificate;
mod claims;
pub mod common_name;
pub mod container;
pub mod crl;
pub mod csr;
mod der;
pub mod documents;
pub mod double;
mod draft;
mod drill;
pub mod extension;
mod files;
#[cfg(test)]
mod fixture;
pub mod jwk;
pub mod key;
pub mod keystore;
mod lint;
pub mod mint;
pub mod minter;
mod pem;
pub mod sealed;
pub mod secret;
pub mod svid;
mod tbs;
pub mod token;
pub mod token_keys;
pub mod token_ring;
pub mod verify;
mod x509;

//! Requests as they come off the wire, the first byte telling which: reading is total, a refusal names a field, and what
//! is taken has nothing that was passed over.
#![no_main]

use std::fmt::Debug;

use hotwork::api::strict::read;
use hotwork::proto::envoy::CheckRequest;
use hotwork::proto::v1::{
    ConsumeRequest, EnrollRequest, IssueCertificateRequest, IssueTokenRequest, ListEntriesRequest, RevokeRequest,
};
use prost::{Message, Name};
use tonic::Code;

fn one<U: Debug + Message + Name + Default + PartialEq>(bytes: &[u8], strict: bool) {
    match read::<U>(bytes) {
        Ok(message) => {
            let written = message.encode_to_vec();
            assert_eq!(read::<U>(&written).expect("our own is read back"), message);
            // Shorter spellings of numbers, and defaults that were spelled out, are all that a second spelling has.
            assert!(!strict || written.len() <= bytes.len(), "something was made of nothing");
        }
        Err(status) => {
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.message().contains(": expected "), "{}", status.message());
        }
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 7 {
        0 => one::<IssueTokenRequest>(bytes, true),
        1 => one::<IssueCertificateRequest>(bytes, true),
        2 => one::<RevokeRequest>(bytes, true),
        3 => one::<ConsumeRequest>(bytes, true),
        4 => one::<EnrollRequest>(bytes, true),
        5 => one::<ListEntriesRequest>(bytes, true),
        _ => one::<CheckRequest>(bytes, false),
    }
});

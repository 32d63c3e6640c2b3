//! Break-glass: what is read of a signed text has its bounds, and a sealed registry is read to the same bytes.
#![no_main]

use hotwork::domain::break_glass::text::{What, read};
use hotwork::domain::registry_files::RegistryFiles;
use hotwork::domain::statement::Statement;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(files) = RegistryFiles::decode(bytes) {
        assert_eq!(files.encode(), bytes);
        assert!(files.0.iter().all(|file| !file.name.contains("/.") && !file.name.starts_with('/')));
    }
    let statement = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Statement>().ok());
    let Some(said) = statement.as_ref().and_then(read) else { return };
    assert!((1..=8).contains(&said.quorum.count()));
    if let What::Open { reason, ticket, .. } = said.what {
        assert!(!reason.as_str().contains('\n') && !ticket.as_str().contains(' '));
    }
});

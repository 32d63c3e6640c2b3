//! Certificates and bundles of foreign trust domains: as the leaf and as the root.
#![no_main]

use hotwork::attest::x509::{Bundle, Standing, Trust};
use hotwork::domain::enrollment::Enrolled;
use hotwork::domain::spiffe::SpiffeId;
use hotwork::domain::time::Timestamp;
use rustls::pki_types::CertificateDer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _read = Bundle::from_pem(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(id) = text.parse::<SpiffeId>() {
            assert_eq!(id.as_str(), text);
            assert_eq!(format!("spiffe://{}/{}", id.trust_domain(), id.path()), text);
        }
        if let Some(who) = Enrolled::from_path(text) {
            assert_eq!(who.to_string(), text);
        }
    }
    let now = Timestamp::from_seconds(1_900_000_000);
    let chain = [CertificateDer::from(bytes)];
    // A root that signed itself is its own authority here, so that something can be believed at all.
    let Ok(bundle) = Bundle::from_der(&chain) else { return };
    let own = "example.org".parse().expect("a trust domain");
    let foreign = "prod.example".parse().expect("a trust domain");
    let trust = Trust::workloads(&own, [(foreign, bundle)]);
    if let Ok(certified) = trust.verify(&chain, now) {
        assert!(certified.expires > now);
        let is_workload = |standing: &Standing| match standing {
            Standing::Enrolled(..) => false,
            Standing::Workload(evidence) => {
                evidence.selectors().count() == 4 && evidence.expires() == Some(certified.expires)
            }
        };
        assert!(is_workload(&certified.standing), "{certified:?}");
    }
});

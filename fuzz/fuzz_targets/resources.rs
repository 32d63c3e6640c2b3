//! Resources and the patterns that actions declare: a pattern on the first line, a resource on the second.
#![no_main]

use hotwork::domain::name::TenantName;
use hotwork::domain::resource::{Resource, ResourcePattern};
use hotwork_fuzz::one_spelling;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (pattern, resource) = text.split_once('\n').unwrap_or((text, text));
    one_spelling::<Resource>(resource);
    let Ok(resource) = resource.parse::<Resource>() else { return };
    let whole = resource.as_str();
    let segments = whole.split('/').count();
    assert_eq!(resource.ancestors().count(), segments - 1);
    for above in resource.ancestors() {
        assert!(above.parse::<Resource>().is_ok() && whole.starts_with(&format!("{above}/")));
    }
    let Ok(pattern) = pattern.parse::<ResourcePattern>() else { return };
    let tenant: TenantName = "acme".parse().expect("a tenant's name");
    if pattern.matches(&resource, &tenant) {
        let pairs = pattern.as_str().split('/').zip(whole.split('/'));
        assert_eq!(pattern.as_str().split('/').count(), segments);
        for (declared, given) in pairs {
            assert!(declared == given || declared.starts_with('{'));
            assert!(declared != "{tenant}" || given == "acme", "another tenant's resource");
        }
    }
});

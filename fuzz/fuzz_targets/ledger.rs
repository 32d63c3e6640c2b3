//! The ledger's state over any log: one entry a line, replayed in order.
#![no_main]

use hotwork::domain::entry::{Entry, Event};
use hotwork::domain::ledger::{State, Target};
use hotwork::domain::time::Timestamp;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut state = State::default();
    let mut issued = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let Ok(entry) = Entry::from_json(line) else { continue };
        let before = state.high_water();
        state.replay(&entry, index as u64, |id| {
            issued.iter().find(|(known, _)| *known == id).map(|(_, target): &(_, Target)| target.clone())
        });
        assert!(state.high_water() >= before && state.high_water() >= entry.time, "time went backwards");
        if let Event::Issue(issuance) = entry.event {
            let (agent, issued_at, expires) = (issuance.agent, issuance.issued, issuance.expires);
            issued.push((issuance.id, Target { agent, issued: issued_at, expires }));
        }
    }
    let now = state.high_water();
    let live = state.live().total(now);
    state.forget(Timestamp::default());
    assert_eq!(state.live().total(now), live, "forgetting changed an answer");
});

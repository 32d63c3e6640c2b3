//! `hotwork feed`: who follows the revocations.

use super::client::Context;
use super::duration::{now, relative};
use super::failure::Failure;
use super::table;
use crate::proto::v1;

/// `hotwork feed`.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn show(context: &Context) -> Result<(), Failure> {
    let mut client = context.admin().await?;
    let answer = context.call(client.list_verifiers(context.request(v1::ListVerifiersRequest {}))).await?;
    let names = || answer.verifiers.iter().map(|verifier| verifier.name.clone()).collect();
    context.screen.show(&answer, names, |screen| {
        let now = now();
        let rows: Vec<_> = answer.verifiers.iter().map(|verifier| row(verifier, answer.epoch, now)).collect();
        let header = ["VERIFIER", "STREAMS", "AWAY", "SINCE", "CURRENT", "EPOCH", "ACKNOWLEDGED"];
        table::rows(screen, header, &rows)
    })
}

fn row(verifier: &v1::Verifier, newest: u64, now: i64) -> [String; 7] {
    let word = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    [
        verifier.name.clone(),
        verifier.streams.to_string(),
        verifier.away.to_string(),
        relative(verifier.connect_time.as_ref(), now),
        word(verifier.acknowledged_epoch >= newest),
        verifier.acknowledged_epoch.to_string(),
        relative(verifier.acknowledge_time.as_ref(), now),
    ]
}

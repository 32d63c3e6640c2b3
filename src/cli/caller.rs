//! `hotwork whoami` and `hotwork actions`: what the broker knows of the process that asks.

use super::client::Context;
use super::duration::spoken;
use super::failure::Failure;
use super::{table, words};
use crate::proto::v1;

/// `hotwork whoami`.
///
/// # Errors
/// When the broker does not know the caller, or can't be reached.
pub async fn whoami(context: &Context) -> Result<(), Failure> {
    let mut client = context.agent().await?;
    let answer = context.call(client.who_am_i(context.request(v1::WhoAmIRequest {}))).await?;
    context.screen.show(
        &answer,
        || vec![answer.agent.clone()],
        |screen| {
            let mut fields = vec![
                ("agent", answer.agent.clone()),
                ("tenant", answer.tenant.clone()),
                ("owner", answer.owner.clone()),
                ("purpose", answer.purpose.clone()),
                ("review by", answer.review_date.clone()),
                ("evidence", answer.evidence_sha256.clone()),
            ];
            fields.extend(answer.selectors.iter().map(|selector| ("selector", selector.clone())));
            table::fields(screen, &fields)
        },
    )
}

/// `hotwork actions`.
///
/// # Errors
/// When the broker does not know the caller, or can't be reached.
pub async fn actions(context: &Context) -> Result<(), Failure> {
    let mut client = context.agent().await?;
    let answer = context.call(client.list_actions(context.request(v1::ListActionsRequest {}))).await?;
    if answer.actions.is_empty() {
        context.screen.note("no policy names this agent; ask the operator of the broker for one");
    }
    let names = || answer.actions.iter().map(|action| action.name.clone()).collect();
    context.screen.show(&answer, names, |screen| {
        let rows: Vec<_> = answer.actions.iter().map(row).collect();
        let header =
            ["ACTION", "RESOURCE", "ACCESS", "TIER", "TTL MAX", "RATE", "BEARER", "PARAMETERS", "WHAT"];
        table::rows(screen, header, &rows)
    })
}

fn row(action: &v1::Action) -> [String; 9] {
    let ttl = action.ttl_max.and_then(|ttl| u64::try_from(ttl.seconds).ok());
    let bearer = if action.bearer_allowed { "yes" } else { "no" };
    [
        action.name.clone(),
        action.resource_pattern.clone(),
        words::access(action.access),
        words::tier(action.tier),
        ttl.map_or_else(|| "-".to_owned(), spoken),
        action.rate.clone(),
        bearer.to_owned(),
        words::rules(&action.parameters),
        action.description.clone(),
    ]
}

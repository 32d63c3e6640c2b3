//! One API file: the API, its actions and their parameters.

use std::collections::HashMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::str::FromStr;
use std::sync::Arc;

use crate::config::forms::{Lifetime, Line, Seconds, word};
use crate::config::problem::Place;
use crate::config::raw::{Field, Table};
use crate::domain::catalogue::{Access, Action, Api, ApiState, Binding, Rate, Tier};
use crate::domain::limits::{
    APPROVALS_NEEDED_MAX, CALLS_MAX, FEED_AGE_SECONDS_MAX, PARAMETER_INTEGER_MAX, PARAMETERS_MAX,
};
use crate::domain::lost_feed::{Grace, OnLostFeed};
use crate::domain::name::{ActionName, ApiName, Audience, TenantName};
use crate::domain::parameter::{ParameterKind, ParameterName, ParameterRule, RESERVED_NAMES, Text};
use crate::domain::route::Origin;
use crate::domain::time::Ttl;

use super::Declared;
use super::routes::{self, DeclaredRoute};

/// A word of one of the catalogue's small lists.
struct Word<T>(T);

/// Whether verifiers that lost the feed go on for a while.
#[derive(Clone, Copy)]
struct BestEffort(bool);

macro_rules! words {
    ($type:ty, $($text:literal => $value:expr),+) => {
        impl FromStr for Word<$type> {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                word(text, &[$(($text, $value)),+]).map(Self)
            }
        }
    };
}

words!(Access, "read" => Access::Read, "write" => Access::Write, "destructive" => Access::Destructive);
words!(ApiState, "active" => ApiState::Active, "retired" => ApiState::Retired);
words!(Binding, "required" => Binding::Required, "dangerous-bearer" => Binding::DangerousBearer);
words!(BestEffort, "strict" => BestEffort(false), "dangerous-best-effort" => BestEffort(true));
words!(Tier, "auto" => Tier::Auto, "approval" => Tier::Approval, "break_glass" => Tier::BreakGlass);

/// Reads an API file.
pub(super) fn read(table: Table<'_>) -> Option<Declared<Api>> {
    let place = table.place_of("name");
    let name: Option<ApiName> = table.required("name");
    if let Some(name) = name.as_ref().filter(|name| crate::policy::is_access_class(name.as_str())) {
        table.error("name", format!("policies call an access class so; an API can't be called `{name}`"));
    }
    let tenant: Option<TenantName> = table.required("tenant");
    let audience: Option<Audience> = table.required("audience");
    let owner: Option<Line> = table.required("owner");
    let purpose: Option<Line> = table.required("purpose");
    let state = table.or("state", Word(ApiState::Active));
    let binding = table.or("binding", Word(Binding::Required));
    let on_lost_feed = on_lost_feed(&table);
    let origin: Option<Option<Origin>> = table.optional("origin");
    let (actions, approvals, declared) = actions(&table, name.as_ref());
    // The audience, then for each action where it says how it is approved.
    let others = std::iter::once(table.place_of("audience")).chain(approvals).collect();
    let enforcement = routes::enforcement(&table, origin, audience.as_ref(), tenant.as_ref(), declared);
    table.done();
    let api = Api {
        name: name?,
        tenant: tenant?,
        audience: audience?,
        owner: owner?.0,
        purpose: purpose?.0,
        state: state?.0,
        binding: binding?.0,
        on_lost_feed: on_lost_feed?,
        actions,
        enforcement: Arc::new(enforcement),
    };
    Some(Declared { item: api, place, others })
}

/// What its verifiers do without the feed. Going on needs its bound beside it, so that nobody goes on for longer than
/// somebody wrote down.
fn on_lost_feed(table: &Table<'_>) -> Option<OnLostFeed> {
    const KEY: &str = "on_lost_feed";
    const BOUND: &str = "on_lost_feed_max";
    let best_effort = table.or(KEY, Word(BestEffort(false)));
    let bound: Option<Option<Seconds>> = table.optional(BOUND);
    let (Word(BestEffort(best_effort)), bound) = (best_effort?, bound?);
    match (best_effort, bound) {
        (false, None) => Some(OnLostFeed::Strict),
        (false, Some(_)) => {
            table.error(BOUND, "only `on_lost_feed = \"dangerous-best-effort\"` has a bound; leave it out");
            None
        }
        (true, None) => {
            table.error(BOUND, format!("missing; say for how long, {FEED_AGE_SECONDS_MAX} s at most"));
            None
        }
        (true, Some(Seconds(seconds))) => {
            let grace = u32::try_from(seconds).ok().and_then(Grace::from_seconds);
            if grace.is_none() {
                table.error(BOUND, format!("expected 1 s to {FEED_AGE_SECONDS_MAX} s, got `{seconds} s`"));
            } else {
                table.warning(
                    KEY,
                    format!("a verifier that lost the feed lets revoked credentials pass for {seconds} s"),
                );
            }
            grace.map(OnLostFeed::DangerousBestEffort)
        }
    }
}

/// The actions by their names, where each says how it is approved, and the routes to them.
fn actions<'a>(
    table: &Table<'a>,
    api: Option<&ApiName>,
) -> (Vec<Arc<Action>>, Vec<Place>, Vec<DeclaredRoute<'a>>) {
    let mut seen: HashMap<ActionName, usize> = HashMap::new();
    let (mut actions, mut routes) = (Vec::new(), Vec::new());
    for section in table.tables("action") {
        let place = section.place_of("name");
        let to = routes::read(&section);
        let Some(action) = action(&section, api) else { continue };
        if let Some(line) = seen.insert(action.name.clone(), place.line) {
            section.error("name", format!("declared already in line {line}: `{}`", action.name));
        }
        let action = Arc::new(action);
        routes.extend(to.into_iter().map(|route| route.to(&action)));
        let key = if section.field("approvals").is_some() { "approvals" } else { "tier" };
        actions.push((action, section.place_of(key)));
    }
    if table.field("action").is_none() {
        table.warning("action", "an API without an `[[action]]` can do nothing");
    }
    actions.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let (actions, approvals) = actions.into_iter().unzip();
    (actions, approvals, routes)
}

fn action(section: &Table<'_>, api: Option<&ApiName>) -> Option<Action> {
    let name: Option<ActionName> = section.required("name");
    if let (Some(name), Some(api)) = (&name, api)
        && name.api() != api.as_str()
    {
        section.error("name", format!("the first word of an action of API `{api}` is `{api}`, got `{name}`"));
    }
    let description: Option<Line> = section.required("description");
    let access: Option<Word<Access>> = section.required("access");
    let resource = section.required("resource");
    let ttl_max = section.or("ttl_max", Lifetime(Ttl::DEFAULT));
    let tier: Option<Word<Tier>> = section.required("tier");
    let approvals = approvals(section, tier.as_ref());
    let rate: Option<Rate> = section.required("rate");
    let single_use = section.flag("single_use", false);
    let max_calls = max_calls(section, single_use);
    let parameters = parameters(section);
    section.close();
    Some(Action {
        name: name?,
        description: description?.0,
        access: access?.0,
        resource: resource?,
        parameters: parameters?,
        ttl_max: ttl_max?.0,
        tier: tier?.0,
        approvals: approvals?,
        rate: rate?,
        single_use: single_use?,
        max_calls: max_calls?,
    })
}

/// How many operators have to approve; one when it is not said.
fn approvals(section: &Table<'_>, tier: Option<&Word<Tier>>) -> Option<NonZeroU8> {
    let Some(count) = section.integer("approvals")? else { return Some(NonZeroU8::MIN) };
    if tier.is_some_and(|Word(tier)| *tier != Tier::Approval) {
        section.error("approvals", "only an action of tier `approval` is approved; leave it out");
        return None;
    }
    let within = u8::try_from(count).ok().filter(|count| *count <= APPROVALS_NEEDED_MAX);
    let within = within.and_then(NonZeroU8::new);
    if within.is_none() {
        section.error("approvals", format!("expected 1 to {APPROVALS_NEEDED_MAX} operators, got `{count}`"));
    }
    within
}

fn max_calls(section: &Table<'_>, single_use: Option<bool>) -> Option<Option<NonZeroU32>> {
    let Some(calls) = section.integer("max_calls")? else { return Some(None) };
    if single_use == Some(true) {
        section.error("max_calls", "`single_use = true` says one call; leave out one of the two");
        return None;
    }
    let within = u32::try_from(calls).ok().filter(|calls| *calls <= CALLS_MAX).and_then(NonZeroU32::new);
    if within.is_none() {
        section.error("max_calls", format!("expected 1 to {CALLS_MAX} calls, got `{calls}`"));
    }
    within.map(Some)
}

fn parameters(section: &Table<'_>) -> Option<Vec<ParameterRule>> {
    let params = section.table("params")?;
    let read: Vec<Option<ParameterRule>> =
        params.entries().map(|(name, field)| parameter(name, &field)).collect();
    if read.len() > PARAMETERS_MAX {
        section.error("params", format!("at most {PARAMETERS_MAX} parameters, found `{}`", read.len()));
    }
    let mut rules: Vec<ParameterRule> = read.into_iter().collect::<Option<_>>()?;
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    Some(rules)
}

fn parameter(name: &str, field: &Field<'_>) -> Option<ParameterRule> {
    let parsed: Option<ParameterName> =
        name.parse().map_err(|bad| field.error(format!("{bad}, got `{name}`"))).ok();
    if RESERVED_NAMES.contains(&name) {
        field.error(format!("tokens use this name for something else; no parameter can be called `{name}`"));
    }
    let table = field.table()?;
    let required = table.flag("required", false);
    let kind = kind(&table);
    table.close();
    Some(ParameterRule { name: parsed?, required: required?, kind: kind? })
}

fn kind(table: &Table<'_>) -> Option<ParameterKind> {
    let text: String = table.required("type")?;
    match text.as_str() {
        "flag" => Some(ParameterKind::Flag),
        "integer" => integer(table),
        "text" => {
            let one_of: Vec<Text> = table.list("one_of")?;
            Some(ParameterKind::Text { one_of: one_of.iter().map(|text| text.as_str().into()).collect() })
        }
        other => {
            table.error("type", format!("expected one of `flag`, `integer`, `text`, got `{other}`"));
            None
        }
    }
}

fn integer(table: &Table<'_>) -> Option<ParameterKind> {
    let (min, max) = (table.integer("min"), table.integer("max"));
    let (min, max) = (min?.unwrap_or(0), max?);
    let Some(max) = max else {
        table.error("max", "missing; an integer has a ceiling");
        return None;
    };
    let exact = -PARAMETER_INTEGER_MAX..=PARAMETER_INTEGER_MAX;
    if min > max || !exact.contains(&min) || !exact.contains(&max) {
        table.error("max", format!("expected min <= max within 2^53-1, got `{min}` and `{max}`"));
        return None;
    }
    Some(ParameterKind::Integer { min, max })
}

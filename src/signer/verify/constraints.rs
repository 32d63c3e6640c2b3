//! What a token's constraints say, in words of the trade. The set is closed: one that is not known refuses.

use std::borrow::Cow;

use crate::domain::constraint::{Bound, Constraint, Ranked};
use crate::domain::digest::Digest;
use crate::domain::limits::{CONSTRAINT_VALUES_MAX, PARAMETERS_MAX};
use crate::domain::parameter::{Text, Value};
use crate::domain::resource::Resource;
use crate::signer::claims::{RawConstraint, Rule, Scalar};

#[derive(Default)]
pub(super) struct Constraints {
    pub(super) resource: Option<Resource>,
    pub(super) parameters: Vec<Constraint>,
    pub(super) args: Option<Digest>,
    pub(super) calls_max: Option<u32>,
}

/// An unknown constraint denies, and so does one that stands twice.
pub(super) fn constraints(list: &[RawConstraint<'_>]) -> Option<Constraints> {
    let mut read = Constraints::default();
    if list.len() > PARAMETERS_MAX + 3 {
        return None;
    }
    for (at, constraint) in list.iter().enumerate() {
        let earlier = list.get(..at)?;
        if earlier.iter().any(|earlier| earlier.key == constraint.key) {
            return None;
        }
        match (&*constraint.key, constraint.rule()?) {
            ("resource", Rule::OneOf([Scalar::Text(text)])) => read.resource = Some(text.parse().ok()?),
            ("args_sha256", Rule::OneOf([Scalar::Text(text)])) => read.args = Some(text.parse().ok()?),
            ("max_calls", Rule::MaxLifetime(calls @ 1..)) => read.calls_max = Some(calls.try_into().ok()?),
            ("resource" | "args_sha256" | "max_calls", _) => return None,
            (name, rule) => {
                read.parameters.push(Constraint { name: name.parse().ok()?, bound: bound(&rule)? });
            }
        }
    }
    Some(read)
}

fn bound(rule: &Rule<'_>) -> Option<Bound> {
    match rule {
        Rule::Max(max) => (*max).try_into().ok().map(Bound::Max),
        // A count of calls bounds the credential and not a parameter.
        Rule::MaxLifetime(_) => None,
        Rule::Min(min) => (*min).try_into().ok().map(Bound::Min),
        Rule::NotOneOf(list) => values(list).map(Bound::NotOneOf),
        Rule::OneOf(list) => values(list).map(Bound::OneOf),
        Rule::Prefix(text) => text.parse().ok().map(Bound::Prefix),
        Rule::Rank(most, order) => rank(most, order).map(Bound::Rank),
    }
}

fn rank(most: &str, order: &[Cow<'_, str>]) -> Option<Ranked> {
    if order.len() > CONSTRAINT_VALUES_MAX {
        return None;
    }
    let order: Option<Vec<Text>> = order.iter().map(|value| value.parse().ok()).collect();
    Ranked::new(order?, &most.parse().ok()?)
}

fn values(list: &[Scalar<'_>]) -> Option<Vec<Value>> {
    if list.is_empty() || list.len() > CONSTRAINT_VALUES_MAX {
        return None;
    }
    let value = |scalar: &Scalar<'_>| match scalar {
        Scalar::Flag(flag) => Some(Value::Flag(*flag)),
        Scalar::Integer(integer) => (*integer).try_into().ok().map(Value::Integer),
        Scalar::Text(text) => text.parse().ok().map(Value::Text),
    };
    list.iter().map(value).collect()
}

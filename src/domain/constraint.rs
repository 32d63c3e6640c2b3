//! What a credential holds a call's parameters to: the rules of PROFILES 1 that one verifier can judge.

use super::parameter::{Integer, Parameter, ParameterName, Text, Value};

/// One constraint on one parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// The parameter.
    pub name: ParameterName,
    /// What its value must be.
    pub bound: Bound,
}

/// The rule of a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// An integer of at most this.
    Max(Integer),
    /// An integer of at least this.
    Min(Integer),
    /// A value of the same type as these, and none of them.
    NotOneOf(Vec<Value>),
    /// One of these.
    OneOf(Vec<Value>),
    /// A text that begins so.
    Prefix(Text),
    /// A text that its order puts no higher than a certain one.
    Rank(Ranked),
}

/// Texts from the least permissive to the most that is allowed
/// (draft-asor-wimse-agent-delegation-chain-02 section 4.2: the order travels with the rank).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranked {
    order: Vec<Text>,
    most: usize,
}

impl Ranked {
    /// Up to `most` in `order`, which goes from the least permissive on. `None` when it has not two texts or more, one
    /// stands twice, or `most` is none of them.
    pub fn new(order: Vec<Text>, most: &Text) -> Option<Self> {
        let twice =
            order.iter().enumerate().any(|(at, text)| order.iter().skip(at + 1).any(|other| other == text));
        if order.len() < 2 || twice {
            return None;
        }
        let most = order.iter().position(|text| text == most)?;
        Some(Self { order, most })
    }

    fn admits(&self, text: &Text) -> bool {
        self.order.iter().position(|known| known == text).is_some_and(|at| at <= self.most)
    }
}

impl Constraint {
    /// What a credential that was asked for with `parameter` allows: an integer is an upper bound, so that a
    /// smaller call fits; texts and flags are what was asked.
    pub fn of(parameter: &Parameter) -> Self {
        let bound = match &parameter.value {
            Value::Integer(integer) => Bound::Max(*integer),
            value @ (Value::Flag(_) | Value::Text(_)) => Bound::OneOf(vec![value.clone()]),
        };
        Self { name: parameter.name.clone(), bound }
    }
}

impl Bound {
    /// Whether `value` is within it. A value of another type never is.
    pub fn admits(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Max(max), Value::Integer(integer)) => integer <= max,
            (Self::Min(min), Value::Integer(integer)) => integer >= min,
            (Self::Prefix(prefix), Value::Text(text)) => text.as_str().starts_with(prefix.as_str()),
            (Self::Rank(ranked), Value::Text(text)) => ranked.admits(text),
            (Self::OneOf(list), value) => list.contains(value),
            (Self::NotOneOf(list), value) => {
                let same = |other: &Value| std::mem::discriminant(other) == std::mem::discriminant(value);
                list.iter().all(same) && !list.contains(value)
            }
            (
                Self::Max(_) | Self::Min(_) | Self::Prefix(_) | Self::Rank(_),
                Value::Flag(_) | Value::Integer(_) | Value::Text(_),
            ) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(value: i64) -> Value {
        Value::Integer(value.try_into().unwrap())
    }

    fn text(value: &str) -> Value {
        Value::Text(value.parse().unwrap())
    }

    #[test]
    fn each_bound_admits_its_values_and_no_other_type() {
        let all = [integer(4), integer(5), integer(6), text("EUR"), text("USD"), Value::Flag(true)];
        let admitted = |bound: Bound| -> Vec<bool> { all.iter().map(|value| bound.admits(value)).collect() };
        let five = 5.try_into().unwrap();
        assert_eq!(admitted(Bound::Max(five)), [true, true, false, false, false, false]);
        assert_eq!(admitted(Bound::Min(five)), [false, true, true, false, false, false]);
        assert_eq!(admitted(Bound::Prefix("EU".parse().unwrap())), [false, false, false, true, false, false]);
        let order: Vec<Text> = ["GBP", "EUR", "USD"].map(|value| value.parse().unwrap()).to_vec();
        let ranked = |most: &str| Ranked::new(order.clone(), &most.parse().unwrap());
        assert_eq!(admitted(Bound::Rank(ranked("EUR").unwrap())), [false, false, false, true, false, false]);
        assert_eq!(admitted(Bound::Rank(ranked("USD").unwrap())), [false, false, false, true, true, false]);
        assert_eq!(admitted(Bound::Rank(ranked("GBP").unwrap())), [false; 6]);
        assert_eq!(ranked("CHF"), None);
        let list = vec![text("EUR"), text("GBP")];
        assert_eq!(admitted(Bound::OneOf(list.clone())), [false, false, false, true, false, false]);
        assert_eq!(admitted(Bound::NotOneOf(list)), [false, false, false, false, true, false]);
        // A list of several types says nothing about any one of them.
        assert_eq!(admitted(Bound::NotOneOf(vec![text("GBP"), integer(1)])), [false; 6]);
    }
}

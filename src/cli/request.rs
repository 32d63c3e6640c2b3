//! From the words of the command line to a request.

use std::collections::BTreeSet;
use std::str::FromStr;

use tonic::transport::Channel;

use super::args::Ask;
use super::client::Context;
use super::failure::Failure;
use crate::domain::name::ActionName;
use crate::domain::parameter::ParameterName;
use crate::proto::v1;
use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::parameter::Value;

/// One `--param`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    name: ParameterName,
    kind: Option<Kind>,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Integer,
    Text,
}

/// The text is not a parameter.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadParameter {
    /// It has no `=`, or an unknown type.
    #[error("expected NAME=VALUE, NAME:int=VALUE, NAME:text=VALUE or NAME:flag=VALUE")]
    Form,
    /// The name has a wrong form.
    #[error("parameter name: {0}")]
    Name(#[from] crate::domain::name::BadName),
    /// The value is not of the type.
    #[error("expected {0} as the value")]
    Value(&'static str),
}

impl FromStr for Given {
    type Err = BadParameter;

    fn from_str(text: &str) -> Result<Self, BadParameter> {
        let (name, text) = text.split_once('=').ok_or(BadParameter::Form)?;
        let (name, kind) = match name.split_once(':') {
            None => (name, None),
            Some((name, "int" | "integer")) => (name, Some(Kind::Integer)),
            Some((name, "text")) => (name, Some(Kind::Text)),
            Some((name, "flag")) => (name, Some(Kind::Flag)),
            Some(_) => return Err(BadParameter::Form),
        };
        let given = Self { name: name.parse()?, kind, text: text.to_owned() };
        given.kind.map(|kind| given.value(kind)).transpose()?;
        Ok(given)
    }
}

impl Given {
    fn value(&self, kind: Kind) -> Result<Value, BadParameter> {
        match kind {
            Kind::Flag => {
                self.text.parse().map(Value::Flag).map_err(|_| BadParameter::Value("`true` or `false`"))
            }
            Kind::Integer => {
                self.text.parse().map(Value::Integer).map_err(|_| BadParameter::Value("a whole number"))
            }
            Kind::Text => Ok(Value::Text(self.text.clone())),
        }
    }

    /// The type when nobody declares one.
    fn guess(&self) -> Kind {
        if self.text.parse::<i64>().is_ok() {
            Kind::Integer
        } else if self.text.parse::<bool>().is_ok() {
            Kind::Flag
        } else {
            Kind::Text
        }
    }
}

/// The request for `action`.
///
/// # Errors
/// When a parameter does not fit its declared type, or stands twice.
pub async fn build(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    action: &ActionName,
    ask: &Ask,
) -> Result<v1::ActionRequest, Failure> {
    let rules = if ask.parameters.iter().any(|given| given.kind.is_none()) {
        declared(context, client, action).await
    } else {
        Vec::new()
    };
    Ok(v1::ActionRequest {
        action: action.to_string(),
        resource: ask.resource.to_string(),
        parameters: typed(&ask.parameters, &rules)?,
        ttl: ask.ttl.map(|ttl| prost_types::Duration { seconds: ttl.seconds().into(), nanos: 0 }),
        args_sha256: ask.args_sha256.map(|digest| digest.as_bytes().to_vec()).unwrap_or_default(),
        purpose: ask.purpose.as_ref().map(ToString::to_string).unwrap_or_default(),
        break_glass_session: ask.break_glass.as_ref().map(ToString::to_string).unwrap_or_default(),
        idempotency_key: ask.idempotency_key.as_ref().map(ToString::to_string).unwrap_or_default(),
        approval_id: ask.approval.map(|id| id.to_string()).unwrap_or_default(),
        justification: ask.justification.clone().unwrap_or_default(),
    })
}

/// What the action declares. The answer only tells types: when there is none, the broker says what is wrong.
async fn declared(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    action: &ActionName,
) -> Vec<v1::ParameterRule> {
    let answer = context.call(client.list_actions(context.request(v1::ListActionsRequest {}))).await;
    let actions = answer.map(|answer| answer.actions).unwrap_or_default();
    actions
        .into_iter()
        .find(|found| found.name == action.as_str())
        .map(|found| found.parameters)
        .unwrap_or_default()
}

fn typed(given: &[Given], rules: &[v1::ParameterRule]) -> Result<Vec<v1::Parameter>, Failure> {
    let names: BTreeSet<&str> = given.iter().map(|given| given.name.as_str()).collect();
    if names.len() != given.len() {
        return Err(Failure::usage("--param: a parameter stands twice"));
    }
    given.iter().map(|given| one(given, rules)).collect()
}

fn one(given: &Given, rules: &[v1::ParameterRule]) -> Result<v1::Parameter, Failure> {
    let rule = rules.iter().find(|rule| rule.name == given.name.as_str());
    let declared = rule.and_then(|rule| match rule.r#type.as_str() {
        "integer" => Some(Kind::Integer),
        "text" => Some(Kind::Text),
        "flag" => Some(Kind::Flag),
        _ => None,
    });
    let kind = given.kind.or(declared).unwrap_or_else(|| given.guess());
    let value = given.value(kind).map_err(|error| {
        Failure::usage(format!("--param {}: {error}", given.name))
            .hint("`hotwork actions` shows the parameters")
    })?;
    Ok(v1::Parameter { name: given.name.to_string(), value: Some(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(text: &str) -> Given {
        text.parse().unwrap()
    }

    fn rule(name: &str, kind: &str) -> v1::ParameterRule {
        v1::ParameterRule { name: name.to_owned(), r#type: kind.to_owned(), ..v1::ParameterRule::default() }
    }

    fn value(text: &str, rules: &[v1::ParameterRule]) -> Value {
        typed(&[given(text)], rules).unwrap().remove(0).value.unwrap()
    }

    #[test]
    fn the_declared_type_counts_and_an_explicit_one_more() {
        assert_eq!(value("a=5", &[]), Value::Integer(5));
        assert_eq!(value("a=true", &[]), Value::Flag(true));
        assert_eq!(value("a=x=y", &[]), Value::Text("x=y".to_owned()));
        assert_eq!(value("a=5", &[rule("a", "text")]), Value::Text("5".to_owned()));
        assert_eq!(value("a:int=5", &[rule("a", "text")]), Value::Integer(5));
        assert_eq!(value("a:text=true", &[]), Value::Text("true".to_owned()));
    }

    #[test]
    fn what_does_not_fit_is_a_usage_error() {
        for bad in ["a", "=x", "A=1", "a:real=1", "a:int=x", "a:flag=1", "a b=1"] {
            assert!(bad.parse::<Given>().is_err(), "{bad}");
        }
        assert!(typed(&[given("a=x")], &[rule("a", "integer")]).is_err());
        assert!(typed(&[given("a=1"), given("a=2")], &[]).is_err());
    }
}

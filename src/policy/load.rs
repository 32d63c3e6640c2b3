//! Loads policy files: cut, parse, name, check, index; every problem of every file at once.

use std::collections::HashMap;

use cedar_policy::{Authorizer, Policy, PolicyId, PolicySet, Schema};
use miette::Diagnostic;

use crate::domain::limits::POLICIES_MAX;
use crate::domain::name::PolicyName;
use crate::domain::registry::Registry;

use super::question::{ActionFacts, Kinds, Named};
use super::scope::Meta;
use super::slice::{self, Index};
use super::split::{self, Piece};
use super::{Policies, Problem, Severity, Source, check, schema};

/// One parsed policy and where it stands.
pub(super) struct Parsed<'a> {
    pub(super) source: &'a Source,
    pub(super) piece: Piece<'a>,
    pub(super) meta: Meta,
    pub(super) policy: Policy,
}

impl Parsed<'_> {
    /// A problem at `offset` of the policy's own text.
    pub(super) fn problem(&self, offset: usize, severity: Severity, message: String) -> Problem {
        problem(self.source, &self.piece, offset, Some(self.meta.name.clone()), severity, message)
    }
}

fn problem(
    source: &Source,
    piece: &Piece<'_>,
    offset: usize,
    policy: Option<PolicyName>,
    severity: Severity,
    message: String,
) -> Problem {
    let (line, column) = split::position(&source.text, piece.offset.saturating_add(offset));
    Problem { path: source.path.clone(), line, column, policy, message, severity }
}

/// A problem that is not about one policy.
fn general(message: String) -> Problem {
    Problem { path: "policies".into(), line: 1, column: 1, policy: None, message, severity: Severity::Error }
}

pub(super) fn load(sources: &[Source], registry: &Registry) -> (Option<Policies>, Vec<Problem>) {
    let mut problems = Vec::new();
    let parsed = parse(sources, &mut problems);
    if parsed.len() > POLICIES_MAX {
        problems.push(general(format!("at most {POLICIES_MAX} policies, found `{}`", parsed.len())));
        return (None, problems);
    }
    match Schema::from_cedarschema_str(&schema::text(registry)) {
        Ok((schema, _)) => problems.extend(check::check(&parsed, registry, schema)),
        Err(error) => problems.push(general(format!("the registry makes no schema: {error}"))),
    }
    problems.sort_by(|a, b| {
        (&a.path, a.line, a.column, &a.message).cmp(&(&b.path, b.line, b.column, &b.message))
    });
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return (None, problems);
    }
    match assemble(parsed, registry) {
        Ok(policies) => (Some(policies), problems),
        Err(message) => {
            problems.push(general(message));
            (None, problems)
        }
    }
}

fn parse<'a>(sources: &'a [Source], problems: &mut Vec<Problem>) -> Vec<Parsed<'a>> {
    let mut parsed: Vec<Parsed<'a>> = Vec::new();
    let mut seen: HashMap<PolicyName, String> = HashMap::new();
    for source in sources {
        for (at, piece) in split::pieces(&source.text).into_iter().enumerate() {
            match parse_one(source, piece, at.saturating_add(1)) {
                Ok(one) => {
                    let place = format!(
                        "{}:{}",
                        source.path.display(),
                        split::position(&source.text, piece.offset).0
                    );
                    if let Some(first) = seen.insert(one.meta.name.clone(), place) {
                        let message = format!("another policy at {first} has the id `{}`", one.meta.name);
                        problems.push(one.problem(0, Severity::Error, message));
                    }
                    parsed.push(one);
                }
                Err(found) => problems.extend(found),
            }
        }
    }
    parsed
}

fn parse_one<'a>(source: &'a Source, piece: Piece<'a>, number: usize) -> Result<Parsed<'a>, Vec<Problem>> {
    let error =
        |offset: usize, message: String| problem(source, &piece, offset, None, Severity::Error, message);
    let policy = Policy::parse(None, piece.text).map_err(|errors| {
        let one = |e: &cedar_policy::ParseError| error(offset_of(e), format!("not a policy: {}", said(e)));
        errors.iter().map(one).collect::<Vec<_>>()
    })?;
    let text = policy.annotation("id").map_or_else(|| format!("{}#{number}", source.name), str::to_owned);
    let name: PolicyName =
        text.parse().map_err(|bad| vec![error(0, format!("policy id: {bad}, got `{text}`"))])?;
    let policy = policy.new_id(PolicyId::new(name.as_str()));
    let meta = Meta::of(name, &policy, piece.text);
    Ok(Parsed { source, piece, meta, policy })
}

/// Where in the policy's text Cedar sees the problem; its beginning when it does not say.
pub(super) fn offset_of(diagnostic: &dyn Diagnostic) -> usize {
    diagnostic.labels().and_then(|mut labels| labels.next()).map_or(0, |label| label.offset())
}

/// Cedar's message with its advice, on one line and within bounds.
pub(super) fn said(diagnostic: &dyn Diagnostic) -> String {
    let help = diagnostic.help().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{diagnostic}{help}").split_whitespace().collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

fn assemble(parsed: Vec<Parsed<'_>>, registry: &Registry) -> Result<Policies, String> {
    let kinds = Kinds::new().map_err(|_| "the entity types are not accepted".to_owned())?;
    let actions = ActionFacts::all(registry, &kinds);
    let mut named = Named::new(kinds);
    let mut index = Index::default();
    let mut metas = Vec::with_capacity(parsed.len());
    let mut by_id = HashMap::with_capacity(parsed.len());
    let mut all = PolicySet::new();
    for Parsed { meta, policy, .. } in parsed {
        let rest = slice::rest(&policy);
        if !meta.plain {
            named.add(&rest);
        }
        index.add(&meta, &rest).map_err(|error| error.to_string())?;
        by_id.insert(policy.id().clone(), metas.len());
        metas.push(meta);
        if cfg!(test) {
            all.add(policy).map_err(|error| error.to_string())?;
        }
    }
    Ok(Policies {
        authorizer: Authorizer::new(),
        metas,
        by_id,
        actions,
        named,
        index,
        #[cfg(test)]
        all,
    })
}

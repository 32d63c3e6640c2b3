//! From method and path of an HTTP request to an action and its resource, as an API's entry declares it.
//!
//! A path has one spelling here: what another server might read differently (escapes, dot segments, double
//! slashes, a trailing slash) matches nothing. Two routes of an API never match one request, so their order
//! says nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::catalogue::Action;
use super::limits::{PATH_BYTES_MAX, RESOURCE_SEGMENTS_MAX};
use super::name::{ActionName, Audience, BadName, TenantName, name};
use super::parameter::{Parameter, ParameterKind, ParameterName, ParameterRule, Value};
use super::resource::{Piece, Resource, ResourcePattern, is_segment};

name!(
    /// An HTTP method.
    Method, is_method, "an HTTP method in capitals, such as `GET`, 16 letters at most"
);

fn is_method(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase())
}

name!(
    /// Where clients reach an API: the scheme and authority of its URLs.
    Origin, is_origin, "`https://HOST` or `https://HOST:PORT` in lowercase, without a path or the default port"
);

fn is_origin(text: &str) -> bool {
    let (host, default) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(host), _) => (host, ":443"),
        (None, Some(host)) => (host, ":80"),
        (None, None) => return false,
    };
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b':' | b'[' | b']');
    !host.is_empty() && host.len() <= 255 && host.bytes().all(allowed) && !host.ends_with(default)
}

impl Origin {
    /// The origin that an audience is, when it is no more than that.
    pub fn of(audience: &Audience) -> Option<Self> {
        audience.as_str().parse().ok()
    }
}

/// The segments of a request's path, when it has the one spelling that is matched.
///
/// # Errors
/// When it has another.
pub fn segments(path: &str) -> Result<Vec<&str>, BadName> {
    const BAD: BadName = BadName {
        expected: "`/` and segments of letters, digits, `.`, `_`, `-`, `@`, `:`, `+`, `=` or `~`, none of them empty, `.` or `..`",
    };
    let rest = path.strip_prefix('/').filter(|_| path.len() <= PATH_BYTES_MAX).ok_or(BAD)?;
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let parts: Vec<&str> = rest.split('/').take(RESOURCE_SEGMENTS_MAX + 1).collect();
    let good = parts.len() <= RESOURCE_SEGMENTS_MAX && parts.iter().all(|part| is_segment(part));
    if good { Ok(parts) } else { Err(BAD) }
}

/// The shape of a route's paths: fixed segments and captures `{name}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: Arc<str>,
    pieces: Vec<PathPiece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPiece {
    Capture(Arc<str>),
    Fixed(Arc<str>),
}

impl FromStr for PathPattern {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        const BAD: BadName = BadName {
            expected: "a path whose segments are fixed texts or `{name}`, each name once, such as `/repos/{owner}/{name}`",
        };
        let plain: String = text.chars().filter(|c| !matches!(c, '{' | '}')).collect();
        segments(&plain).map_err(|_| BAD)?;
        let rest = text.strip_prefix('/').ok_or(BAD)?;
        let parts = rest.split('/').filter(|part| !part.is_empty());
        let pieces: Vec<PathPiece> = parts.map(|part| piece(part).ok_or(BAD)).collect::<Result<_, _>>()?;
        let mut names: Vec<&str> = pieces.iter().filter_map(PathPiece::name).collect();
        names.sort_unstable();
        if !names.is_sorted_by(|a, b| a < b) {
            return Err(BAD);
        }
        Ok(Self { text: text.into(), pieces })
    }
}

fn piece(part: &str) -> Option<PathPiece> {
    let Some(rest) = part.strip_prefix('{') else {
        return is_segment(part).then(|| PathPiece::Fixed(part.into()));
    };
    let name = rest.strip_suffix('}')?;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (!name.is_empty() && name.bytes().all(good)).then(|| PathPiece::Capture(name.into()))
}

impl PathPiece {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Capture(name) => Some(name),
            Self::Fixed(_) => None,
        }
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One route: what a request of this method and path does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    method: Method,
    path: PathPattern,
    /// Whether a request may have a query. It is no part of what is decided on.
    query: bool,
    target: Target,
}

/// What a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The action.
    pub action: ActionName,
    /// The shape of its resources.
    pub resource: ResourcePattern,
    /// Its parameters.
    pub parameters: Vec<ParameterRule>,
    /// The API's tenant, which fills `{tenant}`.
    pub tenant: TenantName,
}

impl Target {
    /// An action as the catalogue has it.
    pub fn of(action: &Action, tenant: TenantName) -> Self {
        Self {
            action: action.name.clone(),
            resource: action.resource.clone(),
            parameters: action.parameters.clone(),
            tenant,
        }
    }
}

/// What a route can't do.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRoute {
    /// A capture that is neither of the resource nor a parameter.
    #[error("`{{{0}}}` is no part of the resource and no parameter of the action")]
    Capture(Arc<str>),
    /// The resource names what the path does not give.
    #[error("the resource's `{{{0}}}` is not in the path")]
    Missing(Arc<str>),
    /// A required parameter that the path does not give: no credential of the action would ever pass.
    #[error("the required parameter `{0}` is not in the path: no request could pass")]
    Parameter(ParameterName),
}

/// What a request does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The action.
    pub action: ActionName,
    /// The resource.
    pub resource: Resource,
    /// The parameters that the path gives.
    pub parameters: Vec<Parameter>,
}

/// Why a request does nothing that is known.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unmapped {
    /// The path has another spelling than the one that is matched.
    #[error("the path is not in its plain form")]
    Path,
    /// It has a query, and the route takes none.
    #[error("the route takes no query")]
    Query,
    /// No route matches.
    #[error("no route matches")]
    Unknown,
}

impl Route {
    /// A route to `target`; `query` says whether a request may have one.
    ///
    /// # Errors
    /// When the path does not give what the action needs, or gives more.
    pub fn new(method: Method, path: PathPattern, query: bool, target: Target) -> Result<Self, BadRoute> {
        let captures: Vec<&Arc<str>> = path
            .pieces
            .iter()
            .filter_map(|piece| match piece {
                PathPiece::Capture(name) => Some(name),
                PathPiece::Fixed(_) => None,
            })
            .collect();
        let given = |name: &str| captures.iter().any(|capture| ***capture == *name);
        for piece in target.resource.pieces() {
            if let Piece::Capture(name) = piece
                && !given(name)
            {
                return Err(BadRoute::Missing(name.into()));
            }
        }
        let of_resource = |name: &str| {
            target.resource.pieces().any(|piece| match piece {
                Piece::Capture(own) => own == name,
                Piece::Fixed(_) => false,
                Piece::Tenant => name == TENANT,
            })
        };
        let of_action = |name: &str| target.parameters.iter().any(|rule| rule.name.as_str() == name);
        if let Some(extra) = captures.iter().find(|name| !of_resource(name) && !of_action(name)) {
            return Err(BadRoute::Capture(Arc::clone(extra)));
        }
        let missing = target.parameters.iter().find(|rule| rule.required && !given(rule.name.as_str()));
        if let Some(rule) = missing {
            return Err(BadRoute::Parameter(rule.name.clone()));
        }
        Ok(Self { method, path, query, target })
    }

    /// Whether some request would match both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.path.pieces, &other.path.pieces);
        let both = |(ours, theirs): (&PathPiece, &PathPiece)| match (ours, theirs) {
            (PathPiece::Fixed(ours), PathPiece::Fixed(theirs)) => ours == theirs,
            (PathPiece::Capture(_), _) | (_, PathPiece::Capture(_)) => true,
        };
        self.method == other.method && ours.len() == theirs.len() && ours.iter().zip(theirs).all(both)
    }

    fn matches(&self, method: &str, segments: &[&str]) -> bool {
        let fits = |(piece, segment): (&PathPiece, &&str)| match piece {
            PathPiece::Fixed(text) => **text == **segment,
            PathPiece::Capture(_) => true,
        };
        let pieces = &self.path.pieces;
        self.method.as_str() == method
            && pieces.len() == segments.len()
            && pieces.iter().zip(segments).all(fits)
    }

    fn map(&self, segments: &[&str]) -> Option<Mapped> {
        let captured = |name: &str| {
            let at = self.path.pieces.iter().position(|piece| piece.name() == Some(name))?;
            segments.get(at).copied()
        };
        let parts: Option<Vec<&str>> = self
            .target
            .resource
            .pieces()
            .map(|piece| match piece {
                Piece::Capture(name) => captured(name),
                Piece::Fixed(text) => Some(text),
                Piece::Tenant => Some(captured(TENANT).unwrap_or(self.target.tenant.as_str())),
            })
            .collect();
        let resource: Resource = parts?.join("/").parse().ok()?;
        let given =
            self.target.parameters.iter().filter_map(|rule| Some((rule, captured(rule.name.as_str())?)));
        let parameters = given.map(|(rule, text)| {
            let value = value(&rule.kind, text)?;
            Some(Parameter { name: rule.name.clone(), value })
        });
        let parameters = parameters.collect::<Option<Vec<Parameter>>>()?;
        // A path may name another tenant; the action's resources are those of its own.
        self.target.resource.matches(&resource, &self.target.tenant).then(|| Mapped {
            action: self.target.action.clone(),
            resource,
            parameters,
        })
    }
}

/// The capture that only the API's own tenant fills.
const TENANT: &str = "tenant";

/// The value of a parameter in a path; `None` when it is not of its kind, or has a second spelling.
fn value(kind: &ParameterKind, text: &str) -> Option<Value> {
    match kind {
        ParameterKind::Flag => match text {
            "true" => Some(Value::Flag(true)),
            "false" => Some(Value::Flag(false)),
            _ => None,
        },
        ParameterKind::Integer { .. } => {
            let number: i64 = text.parse().ok()?;
            (number.to_string() == text).then_some(())?;
            number.try_into().ok().map(Value::Integer)
        }
        ParameterKind::Text { .. } => text.parse().ok().map(Value::Text),
    }
}

/// How an API's requests are enforced by servers in front of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enforcement {
    /// Where clients reach it; without it no DPoP proof can be checked.
    pub origin: Option<Origin>,
    /// Its routes, no two of which match one request.
    pub routes: Vec<Route>,
}

impl Enforcement {
    /// What a request of this method and target (path and query) does.
    ///
    /// # Errors
    /// [`Unmapped`]; then nothing permits it.
    pub fn map(&self, method: &str, target: &str) -> Result<Mapped, Unmapped> {
        let (path, query) = match target.split_once('?') {
            Some((path, _)) => (path, true),
            None => (target, false),
        };
        let segments = segments(path).map_err(|_| Unmapped::Path)?;
        let route = self.routes.iter().find(|route| route.matches(method, &segments));
        let route = route.ok_or(Unmapped::Unknown)?;
        if query && !route.query {
            return Err(Unmapped::Query);
        }
        route.map(&segments).ok_or(Unmapped::Unknown)
    }

    /// The URI that a DPoP proof for this target names: without the query (RFC 9449 section 4.2).
    pub fn url(&self, target: &str) -> Option<String> {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        self.origin.as_ref().map(|origin| format!("{origin}{path}"))
    }
}

#[cfg(test)]
#[path = "route/tests.rs"]
mod tests;

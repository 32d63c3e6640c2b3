//! The routes of an API file: which requests are which action, for servers in front of the API.

use std::sync::Arc;

use crate::config::raw::Table;
use crate::domain::catalogue::Action;
use crate::domain::limits::ROUTES_MAX;
use crate::domain::name::{Audience, TenantName};
use crate::domain::route::{Enforcement, Method, Origin, PathPattern, Route, Target};

/// One `[[action.route]]` as it stands, not yet held against its action.
pub(super) struct Section<'a> {
    table: Table<'a>,
    method: Option<Method>,
    path: Option<PathPattern>,
    query: Option<bool>,
}

/// A route with the action that it leads to.
pub(super) struct DeclaredRoute<'a> {
    section: Section<'a>,
    action: Arc<Action>,
}

/// Reads the routes of an action's section.
pub(super) fn read<'a>(action: &Table<'a>) -> Vec<Section<'a>> {
    let one = |table: Table<'a>| {
        let (method, path) = (table.required("method"), table.required("path"));
        let query = table.flag("query", false);
        table.close();
        Section { table, method, path, query }
    };
    action.tables("route").into_iter().map(one).collect()
}

impl<'a> Section<'a> {
    pub(super) fn to(self, action: &Arc<Action>) -> DeclaredRoute<'a> {
        DeclaredRoute { section: self, action: Arc::clone(action) }
    }
}

/// The API's enforcement. Routes that can't be, or that a request could match beside another, are reported.
pub(super) fn enforcement(
    api: &Table<'_>,
    origin: Option<Option<Origin>>,
    audience: Option<&Audience>,
    tenant: Option<&TenantName>,
    declared: Vec<DeclaredRoute<'_>>,
) -> Enforcement {
    let origin = origin.flatten().or_else(|| audience.and_then(Origin::of));
    if origin.is_none() && !declared.is_empty() && audience.is_some() {
        api.warning(
            "origin",
            "missing, and the audience is no origin: at a proxy no DPoP proof can be checked, and tokens bound to a key are refused",
        );
    }
    if declared.len() > ROUTES_MAX {
        api.error("action", format!("at most {ROUTES_MAX} routes, found `{}`", declared.len()));
    }
    let mut found: Vec<(Route, String)> = Vec::new();
    for declared in declared.into_iter().take(ROUTES_MAX) {
        let Some((route, place, table)) = compiled(declared, tenant) else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.overlaps(&route)) {
            table.error("path", format!("a request could match this route and the one in line {first}"));
            continue;
        }
        found.push((route, place));
    }
    Enforcement { origin, routes: found.into_iter().map(|(route, _)| route).collect() }
}

/// The route, its line, and its table for further problems.
fn compiled<'a>(
    declared: DeclaredRoute<'a>,
    tenant: Option<&TenantName>,
) -> Option<(Route, String, Table<'a>)> {
    let Section { table, method, path, query } = declared.section;
    let line = table.place_of("path").line.to_string();
    match Route::new(method?, path?, query?, Target::of(&declared.action, tenant?.clone())) {
        Ok(route) => Some((route, line, table)),
        Err(bad) => {
            table.error("path", bad.to_string());
            None
        }
    }
}

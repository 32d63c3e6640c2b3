//! The Cedar schema, generated from the registry: what a policy may speak about.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::domain::catalogue::{Access, Action, Api};
use crate::domain::name::ApiName;
use crate::domain::parameter::{ParameterKind, ParameterRule};
use crate::domain::registry::Registry;

/// The access classes, each a group of actions.
const CLASSES: [Access; 3] = [Access::Destructive, Access::Read, Access::Write];

/// Whether `word` is the group of an access class. An API can't be called so: its group would be the same.
pub fn is_access_class(word: &str) -> bool {
    CLASSES.iter().any(|class| class.as_str() == word)
}

/// The schema's text in Cedar's own syntax. Names come from parsed types, which hold no quote.
pub(super) fn text(registry: &Registry) -> String {
    let mut text = String::from(
        "entity Tenant;\nentity Group;\nentity Agent in [Group, Tenant];\nentity Resource in [Resource];\n",
    );
    for class in CLASSES {
        line(&mut text, format_args!("action \"{}\";", class.as_str()));
    }
    // What is declared twice is reported where the files are read; one of them will do to check policies.
    let mut seen = HashSet::new();
    for api in registry.apis() {
        if group_of(&api.name).is_some() && seen.insert(api.name.as_str()) {
            line(&mut text, format_args!("action \"{}\";", api.name));
        }
        for action in &api.actions {
            if seen.insert(action.name.as_str()) {
                line(&mut text, format_args!("{}", declaration(api, action)));
            }
        }
    }
    text
}

/// The group of an API's actions. `None` when the name is an access class: then that class alone is meant,
/// and a grant to it does not become wider by the name of an API.
pub(super) fn group_of(api: &ApiName) -> Option<&str> {
    (!is_access_class(api.as_str())).then_some(api.as_str())
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{content}");
}

fn declaration(api: &Api, action: &Action) -> String {
    let groups: Vec<String> = std::iter::once(action.access.as_str())
        .chain(group_of(&api.name))
        .map(|group| format!("\"{group}\""))
        .collect();
    let params: Vec<String> = action.parameters.iter().map(parameter).collect();
    format!(
        "action \"{}\" in [{}] appliesTo {{ principal: [Agent], resource: [Resource], context: {{ \
         access: String, api: String, params: {{ {} }}, purpose?: String, tier: String, ttl: Long }} }};",
        action.name,
        groups.join(", "),
        params.join(", "),
    )
}

fn parameter(rule: &ParameterRule) -> String {
    let kind = match rule.kind {
        ParameterKind::Flag => "Bool",
        ParameterKind::Integer { .. } => "Long",
        ParameterKind::Text { .. } => "String",
    };
    let optional = if rule.required { "" } else { "?" };
    // Quoted, because a parameter may be called like a word of Cedar.
    format!("\"{}\"{optional}: {kind}", rule.name)
}

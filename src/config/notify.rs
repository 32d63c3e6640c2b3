//! Who is told of what people should know: the `[[notify]]` sections. Secrets are named here, never held.

use std::collections::HashMap;
use std::str::FromStr;

use crate::domain::limits::{
    BREAK_GLASS_REMIND_SECONDS_DEFAULT, BREAK_GLASS_REMIND_SECONDS_MAX, COMMAND_WORDS_MAX, NOTIFIERS_MAX,
};
use crate::domain::name::{BadName, NotifierName};
use crate::notify::destination::{Destination, Program, Roots, Target, Wanted};
use crate::notify::notice::{Kind, Severity};
use crate::notify::secret::SecretFile;
use crate::notify::url::Url;

use super::forms::{AbsolutePath, Seconds, word};
use super::raw::Table;

/// Where PagerDuty takes events, outside of its European region.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// The kinds of destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Command,
    PagerDuty,
    Slack,
    Webhook,
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words = [
            ("webhook", Self::Webhook),
            ("command", Self::Command),
            ("pagerduty", Self::PagerDuty),
            ("slack", Self::Slack),
        ];
        word(text, &words)
    }
}

/// Reads the sections. Files are looked at by [`Target::check`], so that a configuration can be read where they
/// are not.
pub(super) fn read(table: &Table<'_>) -> Option<Vec<Destination>> {
    let mut seen: HashMap<NotifierName, usize> = HashMap::new();
    let mut found = Vec::new();
    for section in table.tables("notify") {
        let destination = destination(&section);
        section.close();
        found.push(destination.inspect(|destination| {
            let line = section.place_of("name").line;
            if let Some(line) = seen.insert(destination.name.clone(), line) {
                section.error("name", format!("the same as in line {line}"));
            }
        }));
    }
    if found.len() > NOTIFIERS_MAX {
        table.error("notify", format!("expected at most {NOTIFIERS_MAX}"));
    }
    found.into_iter().collect()
}

/// `[break_glass]`: how often an open session is told of again.
pub(super) fn remind_every(table: &Table<'_>) -> Option<u64> {
    let section = table.table("break_glass")?;
    let every = section.or("remind_every", Seconds(BREAK_GLASS_REMIND_SECONDS_DEFAULT));
    let good = every.filter(|Seconds(every)| (1..=BREAK_GLASS_REMIND_SECONDS_MAX).contains(every));
    if let (Some(Seconds(every)), None) = (every, good) {
        let message = format!("expected 1 s to {BREAK_GLASS_REMIND_SECONDS_MAX} s, got `{every} s`");
        section.error("remind_every", message);
    }
    section.done();
    good.map(|Seconds(every)| every)
}

fn destination(section: &Table<'_>) -> Option<Destination> {
    let (name, form) = (section.required("name"), section.required("kind"));
    let (severity_min, kinds) =
        (section.or("severity_min", Severity::Warning), section.list::<Kind>("notices"));
    let target = target(section, form?);
    Some(Destination {
        name: name?,
        target: target?,
        wanted: Wanted { severity_min: severity_min?, kinds: kinds? },
    })
}

fn target(section: &Table<'_>, form: Form) -> Option<Target> {
    if form == Form::Command {
        return program(section).map(Target::Command);
    }
    let secret = section.required("secret_file").map(|AbsolutePath(path)| SecretFile::new(path));
    let roots =
        section.optional::<AbsolutePath>("ca_file").map(|file| Roots(file.map(|AbsolutePath(path)| path)));
    match form {
        Form::Command | Form::Webhook => {
            let url = section.required("url");
            Some(Target::Webhook { url: url?, secret: secret?, roots: roots? })
        }
        Form::PagerDuty => {
            let url = section.or("url", PAGERDUTY.parse::<Url>().ok()?);
            Some(Target::PagerDuty { url: url?, routing_key: secret?, roots: roots? })
        }
        Form::Slack => Some(Target::Slack { url: secret?, roots: roots? }),
    }
}

fn program(section: &Table<'_>) -> Option<Program> {
    if section.field("command").is_none() {
        section
            .error("command", "missing; the program with its arguments, such as [\"/usr/local/bin/page\"]");
        return None;
    }
    let words = section.list::<Word>("command")?;
    let path = words.first().and_then(|Word(path)| path.parse::<AbsolutePath>().ok());
    let Some(AbsolutePath(path)) = path.filter(|_| words.len() <= COMMAND_WORDS_MAX) else {
        section.error(
            "command",
            format!("expected an absolute path and up to {COMMAND_WORDS_MAX} words in all"),
        );
        return None;
    };
    let arguments = words.into_iter().skip(1).map(|Word(word)| word).collect();
    Some(Program { path, arguments })
}

/// One word of a command line.
struct Word(String);

impl FromStr for Word {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.contains('\0') {
            return Err(BadName { expected: "a word without a zero byte" });
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Problems};

    const MINIMAL: &str = "trust_domain = \"example.org\"\nissuer = \"https://hotwork.example.org\"\n";

    fn parse(text: &str) -> Result<Vec<Destination>, Vec<String>> {
        let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect();
        let config = Config::parse(Path::new("h.toml"), &format!("{MINIMAL}{text}"));
        config.map(|config| config.notifiers).map_err(lines)
    }

    fn section(name: &str, kind: &str, rest: &str) -> String {
        format!("[[notify]]\nname = \"{name}\"\nkind = \"{kind}\"\n{rest}\n")
    }

    const SECRET: &str = "secret_file = \"/etc/hotwork/secrets/x\"\n";

    #[test]
    fn each_kind_is_read_with_what_it_needs() {
        let text = [
            section("hook", "webhook", &format!("url = \"https://h.example/x\"\n{SECRET}")),
            section("pager", "pagerduty", &format!("{SECRET}severity_min = \"critical\"\n")),
            section("chat", "slack", &format!("{SECRET}notices = [\"locked\", \"revoked\"]\n")),
            section("page", "command", "command = [\"/usr/local/bin/page\", \"--loud\"]\n"),
        ];
        let found = parse(&text.concat()).unwrap();
        assert_eq!(found.len(), 4);
        assert!(matches!(&found[0].target, Target::Webhook { url, .. } if url.host == "h.example"));
        assert!(
            matches!(&found[1].target, Target::PagerDuty { url, .. } if url.host == "events.pagerduty.com")
        );
        assert_eq!(found[1].wanted.severity_min, Severity::Critical);
        assert_eq!((found[2].wanted.kinds.len(), found[2].wanted.severity_min), (2, Severity::Warning));
        assert!(matches!(&found[3].target, Target::Command(program) if program.arguments == ["--loud"]));
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_missing_or_unsafe_is_named() {
        let cases = [
            (section("a", "email", ""), "kind: expected one of `webhook`, `command`, `pagerduty`, `slack`"),
            (section("a", "webhook", SECRET), "url: missing"),
            (section("a", "webhook", "url = \"https://h.example/\""), "secret_file: missing"),
            (
                section("a", "webhook", &format!("url = \"http://h.example/\"\n{SECRET}")),
                "url: expected an https URL",
            ),
            (section("a", "slack", &format!("{SECRET}url = \"https://h.example/\"")), "url: unknown key"),
            (section("a", "slack", "secret_file = \"secret\""), "secret_file: expected an absolute path"),
            (section("a", "command", ""), "command: missing"),
            (section("a", "command", "command = []"), "command: expected an absolute path"),
            (section("a", "command", "command = [\"page\"]"), "command: expected an absolute path"),
            (section("a", "command", &format!("command = [\"/p\"]\n{SECRET}")), "secret_file: unknown key"),
            (section("a b", "slack", SECRET), "name: expected letters"),
            (section("a", "slack", &format!("{SECRET}notices = [\"all\"]")), "expected one of `asked`"),
            (
                section("a", "slack", &format!("{SECRET}severity_min = \"high\"")),
                "severity_min: expected one of",
            ),
            (
                [section("a", "slack", SECRET), section("a", "slack", SECRET)].concat(),
                "name: the same as in line 4",
            ),
        ];
        for (text, wanted) in cases {
            let problems = parse(&text).unwrap_err();
            assert!(problems.iter().any(|problem| problem.contains(wanted)), "{text}: {problems:?}");
        }
    }

    #[test]
    fn reminders_are_bounded_and_come_every_ten_minutes_unless_it_says_otherwise() {
        let every = |text: &str| {
            let config = Config::parse(Path::new("h.toml"), &format!("{MINIMAL}{text}"));
            config.map(|config| config.remind_every_seconds).map_err(|problems| problems.to_string())
        };
        assert_eq!(every(""), Ok(600));
        assert_eq!(every("[break_glass]\nremind_every = \"1s\"\n"), Ok(1));
        assert_eq!(every("[break_glass]\nremind_every = \"1h\"\n"), Ok(3_600));
        for bad in ["0s", "3601s", "never"] {
            let said = every(&format!("[break_glass]\nremind_every = \"{bad}\"\n")).unwrap_err();
            assert!(said.starts_with("h.toml:4:") && said.contains("break_glass.remind_every: "), "{said}");
        }
    }

    #[test]
    fn destinations_are_bounded() {
        let many = |count: usize| {
            let sections = (0..count).map(|at| section(&format!("n{at}"), "slack", SECRET));
            parse(&sections.collect::<String>())
        };
        assert!(many(NOTIFIERS_MAX).is_ok() && many(NOTIFIERS_MAX + 1).is_err());
    }
}

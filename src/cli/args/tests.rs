//! What the command line takes, and what it refuses.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// A paragraph is one line, which wraps with the terminal; a line break in it leaves single words on lines of their own.
/// What is indented stays as it is, so it has to fit.
#[test]
fn help_wraps_with_the_terminal_and_examples_fit() {
    fn look(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        let texts = [command.get_about(), command.get_long_about(), command.get_after_help()];
        for text in texts.into_iter().flatten().map(ToString::to_string) {
            let lines: Vec<&str> = text.lines().collect();
            let prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            for pair in lines.windows(2) {
                assert!(!(prose(pair[0]) && prose(pair[1])), "{path}: a line break before `{}`", pair[1]);
            }
            for line in lines.iter().filter(|line| !prose(line)) {
                assert!(line.chars().count() <= WIDTH_MAX, "{path}: {line}");
            }
        }
        command.get_subcommands().for_each(|command| look(command, &path));
    }
    look(&Cli::command(), "");
}

#[test]
fn exec_takes_everything_after_the_dashes_as_the_command() {
    let cli = parse("hotwork exec --action demo.read --resource demo/hello -- ls -o json --all").unwrap();
    let Command::Exec(exec) = cli.command else { panic!("not exec") };
    assert_eq!(exec.command, ["ls", "-o", "json", "--all"]);
    assert_eq!((exec.ask.kind, cli.common.output), (Kind::Token, Format::Table));
    assert!(parse("hotwork exec --action demo.read --resource demo/hello ls").is_err());
    assert!(parse("hotwork exec --action demo.read --resource demo/hello --").is_err());
}

#[test]
fn a_thumbprint_may_begin_with_a_hyphen() {
    for line in [
        "hotwork issue demo.read --resource demo/hello --dpop-jkt -oAyDGzDSBVoGlqj-o1AS5SCVGDKolumX4HDptz3JJM",
        "hotwork revoke --reason leaked --key -oAyDGzDSBVoGlqj-o1AS5SCVGDKolumX4HDptz3JJM --yes",
    ] {
        assert!(parse(line).is_ok(), "{line}");
    }
}

#[test]
fn wrong_words_are_usage_errors() {
    for bad in [
        "hotwork issue demo --resource demo/hello",
        "hotwork issue demo.read --resource demo/../hello",
        "hotwork issue demo.read --resource demo/hello --ttl 20m",
        "hotwork issue demo.read --resource demo/hello --ttl 5",
        "hotwork issue demo.read --resource demo/hello --param amount",
        "hotwork issue demo.read --resource demo/hello --csr a --generate-key",
        "hotwork issue demo.read --resource demo/hello --dpop-jkt short",
        "hotwork issue demo.read",
        "hotwork credential show 7",
        "hotwork revoke --reason x",
        "hotwork revoke --all --agent a --reason x",
        "hotwork status --wait 10",
        "hotwork audit verify dir",
        "hotwork -o xml whoami",
    ] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}");
    }
}

#[test]
fn common_options_stand_before_or_after_the_command() {
    for line in ["hotwork -o json --endpoint unix:///a whoami", "hotwork whoami --endpoint unix:///a -ojson"]
    {
        let cli = parse(line).unwrap();
        assert_eq!((cli.common.output, cli.common.endpoint.as_deref()), (Format::Json, Some("unix:///a")));
    }
}

#[test]
fn the_help_shows_the_contract() {
    let help = Cli::command().term_width(100).render_help().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for word in ["HOTWORK_ENDPOINT", "HOTWORK_ADMIN_ENDPOINT", "6 negative verdict", "hotworkd dev"] {
        assert!(help.contains(word), "{word}");
    }
}

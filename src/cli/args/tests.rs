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
    for word in ["HOTWORK_ENDPOINT", "HOTWORK_ADMIN_ENDPOINT", "6 negative verdict", "hotworkd dev"] {
        assert!(help.contains(word), "{word}");
    }
}

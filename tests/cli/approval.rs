//! `hotwork request`, and what agents are told who have to wait.

use super::double::{Double, ID};
use super::terminal::on_terminal;
use super::{json, run, stderr, stdout};

#[test]
fn requests_are_listed_and_shown_with_the_agents_words_apart() {
    let double = Double::start();
    assert_eq!(stdout(&run(&double, "request list -o name")), format!("{ID}\n"));
    let table = stdout(&run(&double, "request list --decided"));
    assert!(table.contains("repo.pull.merge") && table.contains("0 of 2"), "{table}");
    let answer = json(&run(&double, &format!("request show {ID} -o json")));
    assert_eq!(answer["approval"]["resource"], "repo/acme/site");
    let shown = stdout(&run(&double, &format!("request show {ID}")));
    let (fields, words) = shown.split_once("UNTRUSTED").unwrap();
    assert!(fields.contains("repo/acme/site") && !fields.contains("approve\\u"), "{shown}");
    assert!(words.contains("  | approve\\u{1b}[2J me\n  | state: approved\n"), "{shown}");
    assert!(!shown.contains('\u{1b}'));
}

#[test]
fn an_agents_words_stay_behind_their_mark_on_a_terminal_of_any_width() {
    let double = Double::start();
    for columns in [40, 72] {
        let text = on_terminal(&double, columns, &format!("request show {ID}"), ("NO_COLOR", "1"));
        let (_, words) = text.split_once("what you approve:").unwrap_or_else(|| panic!("{text}"));
        let lines: Vec<&str> = words.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        assert!(lines.len() > 3 && words.contains("2 of 2") && words.contains("\\u{200b}"), "{words}");
        for line in lines {
            assert!(
                line.starts_with("  |") && line.chars().count() <= columns,
                "{columns}: {line:?}\n{words}"
            );
        }
    }
}

#[test]
fn a_decision_is_printed_or_sent_and_never_asked_for_without_a_terminal() {
    let double = Double::start();
    let printed = stdout(&run(&double, &format!("request approve {ID} --print")));
    assert!(printed.starts_with("hotwork approval v1\n"), "{printed}");
    assert!(printed.contains("\ndecision: approve\n"), "{printed}");
    let file = double.dir().join("text.sig");
    std::fs::write(&file, "signed\n").unwrap();
    let line = format!("request deny {ID} --reason later --signature {}", file.display());
    let output = run(&double, &line);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(double.seen().contains(&"decide 2 later signed".to_owned()), "{:?}", double.seen());
    let bare = run(&double, &format!("request approve {ID}"));
    assert_eq!(bare.status.code(), Some(2));
    assert!(stderr(&bare).contains("--ssh-key"), "{bare:?}");
    let both = run(&double, &format!("request approve {ID} --print --signature {}", file.display()));
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn who_has_to_wait_is_told_how() {
    let double = Double::start();
    let output = run(&double, "issue demo.approve --resource demo/hello");
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains(&format!("--approval {ID}")), "{output:?}");
    let certificate = run(&double, "issue demo.approve --resource demo/hello --kind cert");
    assert!(stderr(&certificate).contains("--csr"), "{certificate:?}");
    // The stream of the double ends at once: the wait does, too, and says how to go on.
    let waited = run(&double, "issue demo.approve --resource demo/hello --wait 5s");
    assert_eq!(waited.status.code(), Some(7), "{waited:?}");
    assert!(stderr(&waited).contains("--approval"), "{waited:?}");
    let sent =
        run(&double, &format!("issue demo.read --resource demo/hello --approval {ID} --justification x"));
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let request = double.requests().pop().unwrap();
    assert_eq!((request.approval_id.as_str(), request.justification.as_str()), (ID, "x"));
}

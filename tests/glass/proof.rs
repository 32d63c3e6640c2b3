//! What the log proves: whoever has an entry checks with `ssh-keygen`, and nothing of ours, who signed what.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use hotwork::domain::break_glass::Step;
use hotwork::domain::entry::{Entry, Event};
use serde_json::Value;

use crate::site::{NAMESPACE, Site};
use crate::support::{code, text};

fn hotwork(line: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hotwork"));
    command.args(line).args(["-o", "json"]).stdin(Stdio::null()).env_clear();
    command.output().unwrap()
}

/// `ssh-keygen -Y verify`, with the keys that the auditor knows.
fn verified(known: &Path, name: &str, out: &Path) -> bool {
    let statement = std::fs::File::open(out.join("statement.txt")).unwrap();
    let mut command = Command::new("ssh-keygen");
    command.args(["-Y", "verify", "-n", NAMESPACE, "-I", name, "-f"]).arg(known).arg("-s");
    command.arg(out.join(format!("{name}.sig"))).stdin(statement);
    command.output().unwrap().status.success()
}

/// The newest entry that holds this, as canonical JSON.
async fn entry(site: &Site, holds: impl Fn(&Event) -> bool) -> Vec<u8> {
    let size = site.broker().ledger().status().size;
    for index in (0..size).rev() {
        let json = site.broker().read(move |reader| reader.entry(index)).await.unwrap().unwrap();
        if holds(&Entry::from_json(&json).unwrap().event) {
            return json;
        }
    }
    panic!("no such entry")
}

#[tokio::test]
async fn an_auditor_checks_an_opening_with_ssh_keygen_alone() {
    let site = Site::open().await;
    site.opened("node-repair", false, &["bob", "carol"]).await;
    let json = entry(&site, |event| matches!(event, Event::BreakGlass(_))).await;
    let dir = site.dir.path();
    let (file, out, known) = (dir.join("entry.json"), dir.join("opening"), dir.join("allowed_signers"));
    std::fs::write(&file, &json).unwrap();
    let line = ["audit", "signatures", "--entry", file.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let written = hotwork(&line);
    assert!(written.status.success(), "{}", text(&written));
    let written: Value = serde_json::from_slice(&written.stdout).unwrap();
    assert_eq!(written["signers"], serde_json::json!(["bob", "carol"]));
    let said = std::fs::read_to_string(out.join("statement.txt")).unwrap();
    assert!(said.contains("asks: open\nplaybook: node-repair\nticket: INC-7\n"), "{said}");
    // The keys as the auditor knows them.
    let keys = ["bob", "carol"]
        .map(|name| format!("{name} namespaces=\"{NAMESPACE}\" {}\n", site.keys[name].public()));
    std::fs::write(&known, keys.concat()).unwrap();
    assert!(verified(&known, "bob", &out) && verified(&known, "carol", &out));
    // The command that is shown does it, too.
    let shown = written["commands"][0].as_str().unwrap();
    let shell = Command::new("sh").args(["-euc", shown]).current_dir(dir).output().unwrap();
    assert!(shell.status.success(), "{shown}: {}", text(&shell));
    // An invented signer, another's key, and another text are found.
    std::fs::copy(out.join("bob.sig"), out.join("alice.sig")).unwrap();
    assert!(!verified(&known, "alice", &out));
    let other = format!("bob {}\ncarol {}\n", site.keys["alice"].public(), site.keys["bob"].public());
    std::fs::write(dir.join("other"), other).unwrap();
    assert!(!verified(&dir.join("other"), "bob", &out) && !verified(&dir.join("other"), "carol", &out));
    std::fs::write(out.join("statement.txt"), said.replace("INC-7", "INC-8")).unwrap();
    assert!(!verified(&known, "bob", &out));
    // A log that says something else than the text is told from one that agrees.
    for (from, to) in [
        ("\"resources\":[\"cluster/prod\"]", "\"resources\":[\"cluster\"]"),
        ("\"seconds\":1800", "\"seconds\":1799"),
        ("\"ticket\":\"INC-7\"", "\"ticket\":\"INC-8\""),
        ("ticket: INC-7", "ticket: INC-8"),
    ] {
        let edited = String::from_utf8(json.clone()).unwrap();
        assert!(edited.contains(from), "{from}: {edited}");
        std::fs::write(&file, edited.replace(from, to)).unwrap();
        let refused = hotwork(&line);
        assert_eq!(code(&refused), 6, "{from}: {}", text(&refused));
    }
    std::fs::write(&file, r#"{"event":{"start":{"dev":true,"version":"0.1.0"}},"time":1000,"v":1}"#).unwrap();
    assert_eq!(code(&hotwork(&line)), 2, "nothing was signed there");
}

#[tokio::test]
async fn an_auditor_finds_the_text_of_a_signature_that_opened_nothing() {
    let site = Site::open().await;
    // A session that nobody reviewed asks for a third person, and none comes.
    site.opened("node-repair", false, &["bob", "carol"]).await;
    let text_ = site.text("node-repair", false).await;
    for name in ["alice", "bob"] {
        assert_eq!(site.sign(&text_, name).await.unwrap().session, None);
    }
    let dir = site.dir.path();
    let saved = async |name: &str, holds: fn(&Step) -> bool| {
        let file = dir.join(name);
        let is = |event: &Event| matches!(event, Event::BreakGlass(step) if holds(step));
        std::fs::write(&file, entry(&site, is).await).unwrap();
        file.display().to_string()
    };
    let signed = saved("signed.json", |step| matches!(step, Step::Sign(_))).await;
    let proposed = saved("proposed.json", |step| matches!(step, Step::Propose(_))).await;
    let opened = saved("opened.json", |step| matches!(step, Step::Open(_))).await;
    let (out, known) = (dir.join("signature"), dir.join("allowed_signers"));
    let line = |more: &[&str]| {
        hotwork(
            &[&["audit", "signatures", "--entry", &signed, "--out", out.to_str().unwrap()], more].concat(),
        )
    };
    // Not without its text, and not with another one.
    for refused in [line(&[]), line(&["--request", &opened])] {
        assert!(code(&refused) == 2 && text(&refused).contains("--request FILE"), "{}", text(&refused));
    }
    let written = line(&["--request", &proposed]);
    assert!(written.status.success(), "{}", text(&written));
    assert_eq!(std::fs::read_to_string(out.join("statement.txt")).unwrap(), text_);
    std::fs::write(&known, format!("bob {}\n", site.keys["bob"].public())).unwrap();
    assert!(verified(&known, "bob", &out));
}

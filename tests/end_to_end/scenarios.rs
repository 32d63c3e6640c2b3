//! The five scenarios of `config/examples`, each with its permits and its denials.

use crate::support::{Daemon, code, example, text};

struct Scenario {
    daemon: Daemon,
    _dir: tempfile::TempDir,
}

impl Scenario {
    fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = example(name, dir.path());
        let daemon = Daemon::serve(&config, &dir.path().join("state"));
        Self { daemon, _dir: dir }
    }

    /// Asks for a certificate, which needs no other binding: the exit code and the reason.
    fn ask(&self, action: &str, resource: &str, more: &[&str]) -> (i32, String) {
        let head = ["issue", action, "--resource", resource, "--kind", "cert", "-o", "json"];
        let output = self.daemon.hotwork(&[&head, more].concat());
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(answer.is_object(), "{}", text(&output));
        (code(&output), answer["reason"].as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn permits(&self, action: &str, resource: &str, more: &[&str]) {
        assert_eq!(self.ask(action, resource, more), (0, String::new()), "{action} {resource}");
    }

    #[track_caller]
    fn denies(&self, action: &str, resource: &str, more: &[&str], reason: &str) {
        let expected = if reason == "approval-required" { 5 } else { 3 };
        assert_eq!(self.ask(action, resource, more), (expected, reason.to_owned()), "{action} {resource}");
    }
}

#[test]
fn the_coding_agent_works_on_its_repository_and_a_merge_needs_an_approval() {
    let scenario = Scenario::start("coding");
    for action in ["repo.pull.open", "repo.pull.update", "repo.pull.close"] {
        scenario.permits(action, "repo/acme/site", &[]);
        scenario.denies(action, "repo/acme/payroll", &[], "not-permitted");
    }
    scenario.denies("repo.pull.merge", "repo/acme/site", &[], "approval-required");
    scenario.denies("repo.pull.merge", "repo/acme/payroll", &[], "not-permitted");
    scenario.denies("repo.pull.open", "repo/acme/site", &["--ttl", "15m"], "ttl-above-maximum");
    scenario.denies("repo.pull.force", "repo/acme/site", &[], "action-unknown");
}

fn denies_payment(scenario: &Scenario, parameters: &[&str], more: &[&str], reason: &str) {
    let parameters = parameters.iter().flat_map(|parameter| ["--param", parameter]);
    let arguments: Vec<&str> = parameters.chain(more.iter().copied()).collect();
    scenario.denies("pay.invoice.pay", "invoice/4711", &arguments, reason);
}

#[test]
fn the_procurement_agent_reads_invoices_and_no_payment_passes_its_ceiling() {
    let scenario = Scenario::start("procurement");
    scenario.permits("pay.invoice.read", "invoice/4711", &[]);
    denies_payment(&scenario, &["amount_cents=90000", "currency=EUR"], &[], "approval-required");
    let high = ["amount_cents=300000", "currency=EUR"];
    denies_payment(&scenario, &high, &[], "not-permitted");
    denies_payment(&scenario, &high, &["--purpose", "purchase-order"], "approval-required");
    denies_payment(&scenario, &["amount_cents=500001", "currency=EUR"], &[], "parameter-out-of-bounds");
    denies_payment(&scenario, &["amount_cents=90000", "currency=GBP"], &[], "parameter-out-of-bounds");
    // The sixth in an hour: the action's rate is five.
    let output = scenario.ask("pay.invoice.pay", "invoice/4711", &["--param", "currency=EUR"]);
    assert_eq!(output, (8, "rate-limited".to_owned()));
}

#[test]
fn a_payment_names_its_amount_as_a_number() {
    let scenario = Scenario::start("procurement");
    let text = ["amount_cents:text=90000", "currency=EUR"];
    denies_payment(&scenario, &text, &[], "parameter-unknown");
    denies_payment(&scenario, &["currency=EUR"], &[], "parameter-missing");
}

#[test]
fn the_security_agent_reads_alerts_and_never_writes_to_the_siem() {
    let scenario = Scenario::start("security");
    scenario.permits("siem.alert.read", "siem/alert/17", &[]);
    scenario.permits("ticket.item.create", "ticket/security", &["--param", "severity=high"]);
    scenario.denies("ticket.item.create", "ticket/payroll", &["--param", "severity=high"], "not-permitted");
    scenario.denies("siem.alert.close", "siem/alert/17", &[], "forbidden");
    scenario.denies("siem.rule.edit", "siem/rule/3", &[], "forbidden");
}

#[test]
fn the_support_agent_sees_its_tenant_and_another_tenant_is_not_there_at_all() {
    let scenario = Scenario::start("support");
    let field = |name: &'static str| ["--param", name];
    scenario.permits("crm.account.status", "tenant/acme/account/7", &field("field=plan"));
    scenario.denies(
        "crm.account.status",
        "tenant/acme/account/7",
        &field("field=card_number"),
        "parameter-out-of-bounds",
    );
    // The other tenant's account and one that nobody has give the same answer.
    for resource in ["tenant/globex/account/7", "tenant/nobody/account/7"] {
        scenario.denies("crm.account.status", resource, &field("field=plan"), "not-permitted");
    }
    // So do the other tenant's action and one that there is not.
    for action in ["crm-globex.account.status", "crm-nobody.account.status"] {
        scenario.denies(action, "tenant/acme/account/7", &[], "action-unknown");
    }
}

#[test]
fn the_orchestration_agent_scales_within_bounds_and_deletes_nothing_without_break_glass() {
    let scenario = Scenario::start("orchestration");
    let web = "cluster/prod/service/web";
    scenario.permits("infra.service.scale", web, &["--param", "replicas=8"]);
    scenario.denies("infra.service.scale", web, &["--param", "replicas=20"], "not-permitted");
    scenario.denies("infra.service.scale", web, &["--param", "replicas=51"], "parameter-out-of-bounds");
    let etcd = "cluster/prod/service/etcd";
    scenario.denies("infra.service.scale", etcd, &["--param", "replicas=3"], "forbidden");
    scenario.denies("infra.node.drain", "cluster/prod/node/n1", &[], "approval-required");
    scenario.denies("infra.node.delete", "cluster/prod/node/n1", &[], "break-glass-only");
}

#[test]
fn each_example_passes_the_check_without_a_problem() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut names: Vec<_> =
        std::fs::read_dir(&examples).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 5);
    for example in names {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_hotworkd"))
            .args(["check", "--strict", "--config", example.to_str().unwrap()])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", example.display(), text(&output));
    }
}

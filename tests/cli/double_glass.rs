//! The double's break-glass: it writes the text that was asked for, or another one.

use hotwork::domain::digest::Digest;
use hotwork::proto::v1;
use hotwork::proto::v1::break_glass_service_server::BreakGlassService;
use hotwork::proto::v1::prepare_request::Asks;
use tonic::{Request, Response, Status};

use super::double::{Answer, Wire};
use super::double_approval::{bent, head};

/// A text of break-glass.
pub fn text(kind: &str, playbook: &str, ticket: &str, reason: &str, rest: &str) -> String {
    let text = format!(
        "hotwork break-glass v1\n{}log: example.org/log+0a1b2c3d\nasks: {kind}\nplaybook: {playbook}\n\
         ticket: {ticket}\nreason: {reason}\n{rest}",
        head(900)
    );
    bent(text, reason)
}

const SCOPE: &str =
    "actions: infra.node.drain\nagents: spiffe://example.org/tenant/acme/agent/bot\nresources: cluster\n";

fn opening(kind: &str, ticket: &str, reason: &str, seconds: i64) -> String {
    text(kind, "node-repair", ticket, reason, &format!("seconds: {seconds}\nsigners: 2\n{SCOPE}"))
}

#[tonic::async_trait]
impl BreakGlassService for Wire {
    async fn prepare(&self, ask: Request<v1::PrepareRequest>) -> Answer<v1::PrepareResponse> {
        if format!("{ask:?}").contains("clock in doubt") {
            self.saw("prepare: clock in doubt");
        }
        let statement = match ask.into_inner().asks.unwrap() {
            Asks::Opening(ask) => {
                let kind = if ask.drill { "drill" } else { "open" };
                let seconds = ask.duration.map_or(1_800, |duration| duration.seconds);
                opening(kind, &ask.ticket, &ask.reason, seconds)
            }
            Asks::Extension(ask) => {
                let end =
                    jiff::Timestamp::now().as_second() + ask.duration.map_or(1_800, |time| time.seconds);
                let end = jiff::Timestamp::from_second(end).unwrap();
                let rest = format!("session: {}\nnew-end: {end}\nsigners: 2\n", ask.session);
                text("extend", "node-repair", "INC-7", &ask.reason, &rest)
            }
        };
        let statement_id = Digest::of(statement.as_bytes()).to_string();
        let clock_doubted_since = doubted(self);
        let default = v1::PrepareResponse::default();
        Ok(Response::new(v1::PrepareResponse { statement, statement_id, clock_doubted_since, ..default }))
    }

    async fn open(&self, ask: Request<v1::OpenRequest>) -> Answer<v1::OpenResponse> {
        self.saw(signed("open", ask.into_inner().signed));
        Ok(Response::new(v1::OpenResponse::default()))
    }

    async fn extend(&self, ask: Request<v1::ExtendRequest>) -> Answer<v1::ExtendResponse> {
        self.saw(signed("extend", ask.into_inner().signed));
        Ok(Response::new(v1::ExtendResponse::default()))
    }

    async fn drill(&self, ask: Request<v1::DrillRequest>) -> Answer<v1::DrillResponse> {
        self.saw(signed("drill", ask.into_inner().signed));
        Ok(Response::new(v1::DrillResponse::default()))
    }

    async fn close(&self, _: Request<v1::CloseRequest>) -> Answer<v1::CloseResponse> {
        Err(Status::unimplemented("close"))
    }

    async fn review(&self, _: Request<v1::ReviewRequest>) -> Answer<v1::ReviewResponse> {
        Err(Status::unimplemented("review"))
    }

    /// Two proposals: one by its true id, and one by an id that is another text's.
    async fn list(&self, _: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let proposal = |statement: String, statement_id: String| v1::Proposal {
            statement,
            statement_id,
            ..v1::Proposal::default()
        };
        let statement = opening("open", "INC-7", "n1 hangs", 1_800);
        let id = Digest::of(statement.as_bytes()).to_string();
        let proposals = vec![proposal(statement.clone(), id), proposal(statement, "5".repeat(64))];
        let clock_doubted_since = doubted(self);
        Ok(Response::new(v1::ListResponse { proposals, clock_doubted_since, ..v1::ListResponse::default() }))
    }
}

/// The newest entry's time, once somebody asked with such a reason.
fn doubted(wire: &Wire) -> Option<prost_types::Timestamp> {
    let asked = wire.seen.lock().unwrap().iter().any(|one| one.contains("clock in doubt"));
    asked.then_some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 })
}

fn signed(what: &str, signed: Option<v1::SignedStatement>) -> String {
    let signed = signed.unwrap();
    assert!(signed.signature.starts_with("-----BEGIN SSH SIGNATURE-----"), "{signed:?}");
    format!("{what} signed")
}

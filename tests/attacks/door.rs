//! The daemon's listeners: where each is, who the attacker and the good client are there, and what the good one asks.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hotwork::proto::v1;
use hotwork::proto::v1::admin_service_client::AdminServiceClient;
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::arena::Target;
use crate::pki::{self, Identity, TestCa};
use crate::support::{Daemon, text};

/// A good client's patience.
const PATIENCE: Duration = Duration::from_secs(5);

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Agents,
    Operators,
    Public,
    Verifiers,
}

/// Those with TLS, gRPC and certificates.
pub const CERTIFIED: [Door; 3] = [Door::Verifiers, Door::Operators, Door::Agents];

/// A daemon with all doors open, and with two who may enter each: `good` and `bad`.
pub fn open(launcher: &[String], dir: &Path) -> (Daemon, TestCa) {
    let ca = TestCa::new();
    std::fs::write(dir.join("prod.pem"), ca.pem()).unwrap();
    let bundle = format!("prod.example={}", dir.join("prod.pem").display());
    let daemon = Daemon::dev_under(launcher, &dir.join("state"), &["--tcp", "--trust-bundle", &bundle]);
    let config = daemon.state.join("config");
    let mut operators = std::fs::read_to_string(config.join("operators.toml")).unwrap();
    for name in ["good", "bad"] {
        operators.push_str(&format!("\n[[operator]]\nname = \"{name}\"\nroles = [\"viewer\"]\n"));
        let agent = format!(
            "name = \"{name}\"\ntenant = \"default\"\nowner = \"o\"\npurpose = \"p\"\ngroups = [\"demo\"]\n\
             review = \"2099-12-31\"\n\n[rules]\n\"x509.spiffe_id\" = \"spiffe://prod.example/{name}\"\n"
        );
        std::fs::write(config.join(format!("agents/{name}.toml")), agent).unwrap();
    }
    std::fs::write(config.join("operators.toml"), operators).unwrap();
    daemon.json(&["reload"]);
    (daemon, ca)
}

impl Door {
    /// What a call's path is.
    const fn path(self) -> &'static str {
        match self {
            Self::Agents => "/hotwork.v1.CredentialService/WhoAmI",
            // It works much for what a viewer may ask.
            Self::Operators => "/hotwork.v1.AdminService/ListAgents",
            Self::Public => "/jwks.json",
            Self::Verifiers => "/hotwork.v1.VerificationService/GetTrustBundle",
        }
    }

    const fn variable(self) -> &'static str {
        match self {
            Self::Agents => "HOTWORK_ENDPOINT_TCP",
            Self::Operators => "HOTWORK_ADMIN_ENDPOINT_TCP",
            Self::Public => "HOTWORK_HTTP",
            Self::Verifiers => "HOTWORK_VERIFIER_ENDPOINT",
        }
    }

    /// Who may enter under this name.
    fn identity(self, daemon: &Daemon, dir: &Path, ca: &TestCa, name: &str) -> Option<Identity> {
        let kind = match self {
            Self::Agents => return Some(ca.svid(&format!("spiffe://prod.example/{name}"), 3600)),
            Self::Operators => "operator",
            Self::Public => return None,
            Self::Verifiers => "verifier",
        };
        let out = dir.join(format!("{kind}-{name}"));
        let output = daemon.hotwork(&[kind, "enroll", name, "--out", &out.display().to_string()]);
        assert!(output.status.success(), "{}", text(&output));
        Some(Identity::read(&out))
    }

    /// What the good client and the attacker need.
    pub fn gate(self, daemon: &Daemon, dir: &Path, ca: &TestCa) -> Gate {
        let (good, bad) = (self.identity(daemon, dir, ca, "good"), self.identity(daemon, dir, ca, "bad"));
        let address: SocketAddr = daemon.env[self.variable()].split_once("//").unwrap().1.parse().unwrap();
        let config = pki::config(daemon, bad.as_ref(), &["h2"]);
        Gate {
            door: self,
            good,
            target: Target { address, path: self.path(), config, landed: Arc::default() },
        }
    }
}

/// A door with those who stand before it.
pub struct Gate {
    pub door: Door,
    pub target: Target,
    good: Option<Identity>,
}

/// How the good client gets there: over a connection that stays, or with a new one for each document.
#[derive(Clone)]
pub enum Way {
    Channel(Door, Channel),
    Http(SocketAddr),
}

impl Gate {
    /// The good client's connection.
    pub async fn way(&self, daemon: &Daemon) -> Option<Way> {
        if self.door == Door::Public {
            return Some(Way::Http(self.target.address));
        }
        let channel = pki::channel(daemon, self.door.variable(), self.good.as_ref());
        let channel = tokio::time::timeout(PATIENCE, channel).await.ok()?.ok()?;
        Some(Way::Channel(self.door, channel))
    }
}

impl Way {
    /// One call, and whether it was answered in time.
    pub async fn ask(&self) -> bool {
        tokio::time::timeout(PATIENCE, self.answered()).await.unwrap_or(false)
    }

    async fn answered(&self) -> bool {
        match self {
            Self::Channel(Door::Agents, channel) => {
                CredentialServiceClient::new(channel.clone()).who_am_i(v1::WhoAmIRequest {}).await.is_ok()
            }
            Self::Channel(Door::Operators, channel) => {
                let ask = v1::ListAgentsRequest::default();
                AdminServiceClient::new(channel.clone()).list_agents(ask).await.is_ok()
            }
            Self::Channel(Door::Verifiers | Door::Public, channel) => {
                let ask = v1::GetTrustBundleRequest {};
                VerificationServiceClient::new(channel.clone()).get_trust_bundle(ask).await.is_ok()
            }
            Self::Http(address) => document(*address).await.is_some_and(|text| text.contains("\"keys\"")),
        }
    }
}

/// The key set, over a connection of its own.
async fn document(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let ask = "GET /jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.starts_with("HTTP/1.1 200 ").then_some(answer)
}

//! A broker with three agents and three APIs, and those who are asked of a credential.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use hotwork::clock::SystemClock;
use hotwork::domain::clock::Clock as _;
use hotwork::domain::name::Audience;
use hotwork::proto::envoy::attribute_context::{HttpRequest, Peer, Request};
use hotwork::proto::envoy::authorization_client::AuthorizationClient;
use hotwork::proto::envoy::{AttributeContext, CheckRequest};
use hotwork::proto::v1::credential_service_client::CredentialServiceClient;
use hotwork::proto::v1::verification_service_client::VerificationServiceClient;
use hotwork::proto::v1::{
    ActionRequest, Credential, IntrospectRequest, IssueCertificateRequest, IssueTokenRequest,
    introspect_request, issue_certificate_request,
};
use hotwork::signer::extension::OidArc;
use hotwork::verify::{Asked, Call, Followed, Presented, Scheme, Settings, Verifier, WhenLost};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tonic::transport::Channel;

use crate::support::{Daemon, channel, example, part, text};

/// An action, which has the API's name first, on a resource.
pub type What = (&'static str, &'static str);

pub const READ: What = ("repo.file.read", "repo/acme/site");
pub const LIST: What = ("repo.file.list", "repo/acme/site");
/// Below another segment, not only another text.
pub const BESIDE: What = ("repo.file.read", "repo/acme2/site");
pub const PAGE: What = ("wiki.page.read", "repo/acme/site");
/// Another tenant's.
const ACCOUNT: What = ("crm.account.read", "repo/acme/site");

/// The agents, by the program that each of them is: their tenant, owner and principal.
pub const CODER: [&str; 4] = ["coder", "default", "dev@example.org", "team:site"];
const TESTER: [&str; 4] = ["tester", "default", "qa@example.org", "team:quality"];
const DESK: [&str; 4] = ["desk", "acme", "dev@example.org", "team:site"];

/// A credential, as whoever has it shows it.
pub struct Shown {
    pub record: Credential,
    what: What,
    form: Form,
}

enum Form {
    Certificate(String),
    Token(String),
}

impl Shown {
    fn der(&self) -> Option<CertificateDer<'static>> {
        match &self.form {
            Form::Certificate(pem) => Some(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()),
            Form::Token(_) => None,
        }
    }

    fn token(&self) -> Option<&str> {
        match &self.form {
            Form::Certificate(_) => None,
            Form::Token(token) => Some(token),
        }
    }

    /// When it was minted, in milliseconds.
    pub fn minted(&self) -> i64 {
        let time = self.record.issue_time.unwrap();
        time.seconds * 1000 + i64::from(time.nanos / 1_000_000)
    }

    /// The key that signed the token.
    pub fn kid(&self) -> String {
        part(self.token().unwrap(), 0)["kid"].as_str().unwrap().to_owned()
    }

    fn api(&self) -> &'static str {
        self.what.0.split('.').next().unwrap()
    }
}

/// A broker, a verifier that follows it, and those who ask.
pub struct Site {
    pub daemon: Daemon,
    verifier: Verifier,
    agent: CredentialServiceClient<Channel>,
    introspection: VerificationServiceClient<Channel>,
    proxy: AuthorizationClient<Channel>,
    dir: tempfile::TempDir,
}

impl Site {
    /// With a token by the key before the one that signs everything else.
    pub async fn start() -> (Self, Shown) {
        let dir = tempfile::tempdir().unwrap();
        let config = example("coding", dir.path());
        let files = config.parent().unwrap();
        let desk = dir.path().join("desk");
        let command = PathBuf::from(env!("CARGO_BIN_EXE_hotwork"));
        // A link would change the file of the others, whose processes would no longer be those that connected.
        std::fs::copy(&command, &desk).unwrap();
        let programs = [(CODER, std::env::current_exe().unwrap()), (TESTER, command), (DESK, desk)];
        registry(files, &programs.map(|(agent, program)| (agent, program.canonicalize().unwrap())));
        let socket = dir.path().join("authz.sock");
        let more = format!("[authz_socket]\npath = \"{}\"\n", socket.display());
        std::fs::write(&config, std::fs::read_to_string(&config).unwrap() + &more).unwrap();
        let daemon = Daemon::serve(&config, &dir.path().join("state"));

        let mut agent = daemon.agent().await;
        let old = token(&mut agent, READ).await;
        daemon.json(&["keys", "rotate", "token", "--now"]);
        let feed = daemon.channel("HOTWORK_ADMIN_ENDPOINT").await;
        let trust = hotwork::feed::trust(feed.clone(), OidArc::EXAMPLE.parse().unwrap()).await.unwrap();
        let state = Arc::new(Followed::new(60, WhenLost::Strict));
        let followed = Arc::clone(&state);
        tokio::spawn(async move {
            hotwork::feed::follow(feed, followed, Arc::new(SystemClock::new()), "selectors").await;
        });
        let verifier = Verifier::new(Arc::new(trust), state, Settings::default());
        let introspection = daemon.verifier().await;
        let proxy = AuthorizationClient::new(channel(socket.to_str().unwrap()).await);
        let site = Self { daemon, verifier, agent, introspection, proxy, dir };
        crate::support::eventually("the follower has begun", || site.followed(&old) == "ok");
        (site, old)
    }

    /// The coder's: this process.
    pub async fn token(&self, what: What) -> Shown {
        token(&mut self.agent.clone(), what).await
    }

    async fn certificate(&self, what: What) -> Shown {
        let key = Some(issue_certificate_request::Key::GenerateKey(true));
        let request = IssueCertificateRequest { request: request(what), key };
        let issued = self.agent.clone().issue_certificate(request).await.unwrap().into_inner();
        Shown { record: issued.credential.unwrap(), what, form: Form::Certificate(issued.certificate_pem) }
    }

    /// The coder's in both forms.
    pub async fn both(&self, what: What) -> [Shown; 2] {
        [self.token(what).await, self.certificate(what).await]
    }

    /// A token of the agent that this program is.
    fn token_by(&self, program: &Path, what: What) -> Shown {
        let ask = ["issue", what.0, "--resource", what.1, "--ttl", "5m", "-o", "json"];
        let mut command = Command::new(program);
        let output = command.args(ask).envs(&self.daemon.env).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let issued: Value = serde_json::from_slice(&output.stdout).unwrap();
        let token = issued["token"].as_str().unwrap().to_owned();
        Shown { record: Credential::default(), what, form: Form::Token(token) }
    }

    pub fn testers(&self) -> Shown {
        self.token_by(Path::new(env!("CARGO_BIN_EXE_hotwork")), READ)
    }

    pub fn desks(&self) -> Shown {
        self.token_by(&self.dir.path().join("desk"), ACCOUNT)
    }

    /// What they say of it: the broker that is asked, the verifier that follows, and the socket for proxies.
    pub async fn seen(&self, shown: &Shown) -> [String; 3] {
        let [introspected, proxied] = [self.introspected(shown).await, self.proxied(shown).await];
        [introspected, self.followed(shown), proxied]
    }

    async fn introspected(&self, shown: &Shown) -> String {
        let credential = match (shown.token(), shown.der()) {
            (Some(token), _) => introspect_request::Credential::Token(token.to_owned()),
            (None, der) => introspect_request::Credential::CertificateDer(der.unwrap().to_vec()),
        };
        let request = IntrospectRequest { credential: Some(credential) };
        let active = self.introspection.clone().introspect(request).await.unwrap().into_inner().active;
        if active { "active" } else { "inactive" }.to_owned()
    }

    fn followed(&self, shown: &Shown) -> String {
        let der = shown.der();
        let token = shown.token().map(|token| (Scheme::Bearer, token));
        let presented = Presented { token, proof: None, certificate: der.as_deref() };
        let audience: Audience = audience(shown.api()).parse().unwrap();
        let (action, resource) = (shown.what.0.parse().unwrap(), shown.what.1.parse().unwrap());
        let asked = Some(Asked { action: &action, resource: &resource, parameters: &[] });
        let (method, url) = ("GET", None);
        let call = Call { method, url, audience: &audience, dangerous_bearer: true, asked, args: None };
        let verified = self.verifier.verify(&presented, &call, SystemClock::new().now().unwrap());
        verified.err().map_or("ok", |refusal| refusal.code()).to_owned()
    }

    async fn proxied(&self, shown: &Shown) -> String {
        let mut http = HttpRequest { method: "GET".into(), path: path(shown.what), ..HttpRequest::default() };
        let mut source = None;
        match &shown.form {
            Form::Certificate(pem) => source = Some(Peer { certificate: pem.replace('\n', "%0A") }),
            Form::Token(token) => {
                http.headers.insert("authorization".into(), format!("Bearer {token}"));
            }
        }
        let request = Some(Request { http: Some(http) });
        let context_extensions = [("hotwork_api".to_owned(), shown.api().to_owned())].into();
        let attributes = Some(AttributeContext { source, request, context_extensions });
        let answer = self.proxy.clone().check(CheckRequest { attributes }).await.unwrap().into_inner();
        let status = answer.status.unwrap();
        if status.code == 0 { "ok".to_owned() } else { status.message }
    }
}

fn request((action, resource): What) -> Option<ActionRequest> {
    let ttl = Some(prost_types::Duration { seconds: 300, nanos: 0 });
    Some(ActionRequest { action: action.into(), resource: resource.into(), ttl, ..ActionRequest::default() })
}

async fn token(agent: &mut CredentialServiceClient<Channel>, what: What) -> Shown {
    let request = IssueTokenRequest { request: request(what), binding: None };
    let issued = agent.issue_token(request).await.unwrap().into_inner();
    Shown { record: issued.credential.unwrap(), what, form: Form::Token(issued.token) }
}

fn audience(api: &str) -> String {
    format!("https://{api}.example.org")
}

/// Where proxies see a request that is this action.
fn path((action, resource): What) -> String {
    resource.replacen("repo", &format!("/{}", action.rsplit('.').next().unwrap()), 1)
}

/// Three agents, each of which is known by its program, three APIs, and one who may do everything.
fn registry(files: &Path, agents: &[([&str; 4], PathBuf); 3]) {
    for folder in ["agents", "apis", "policies"] {
        std::fs::remove_dir_all(files.join(folder)).unwrap();
        std::fs::create_dir(files.join(folder)).unwrap();
    }
    let write = |name: &str, text: String| std::fs::write(files.join(name), text).unwrap();
    let uid = rustix::process::getuid().as_raw();
    for ([name, tenant, owner, principal], program) in agents {
        let text = format!(
            "name = \"{name}\"\ntenant = \"{tenant}\"\nowner = \"{owner}\"\nprincipal = \"{principal}\"\npurpose = \"tests\"\n\
             groups = [\"everybody\"]\nreview = \"2099-12-31\"\n[rules]\n\"unix.uid\" = {uid}\n\"unix.exe\" = \"{}\"\n",
            program.display()
        );
        write(&format!("agents/{name}.toml"), text);
    }
    for (tenant, actions) in [
        ("default", &["repo.file.read", "repo.file.list"][..]),
        ("default", &[PAGE.0]),
        ("acme", &[ACCOUNT.0]),
    ] {
        let api = actions[0].split('.').next().unwrap();
        let mut text = format!(
            "name = \"{api}\"\ntenant = \"{tenant}\"\naudience = \"{}\"\nowner = \"platform@example.org\"\npurpose = \"tests\"\n\
             binding = \"dangerous-bearer\"\n",
            audience(api)
        );
        for action in actions {
            text += &format!(
                "[[action]]\nname = \"{action}\"\ndescription = \"d\"\naccess = \"read\"\nresource = \"repo/{{owner}}/{{name}}\"\n\
                 ttl_max = \"15m\"\ntier = \"auto\"\nrate = \"1000/s\"\n[[action.route]]\nmethod = \"GET\"\npath = \"{}\"\n",
                path((action, "repo/{owner}/{name}"))
            );
        }
        write(&format!("apis/{api}.toml"), text);
    }
    let actions = [READ, LIST, PAGE, ACCOUNT].map(|(action, _)| format!("Action::\"{action}\"")).join(", ");
    let policy = format!(
        "@id(\"everything\")\npermit (principal in Group::\"everybody\", action in [{actions}], \
         resource in Resource::\"repo\");\n"
    );
    write("policies/all.cedar", policy);
    let roles = "\"admin\", \"revoker\", \"viewer\"";
    write("operators.toml", format!("[[operator]]\nname = \"alice\"\nuid = {uid}\nroles = [{roles}]\n"));
}

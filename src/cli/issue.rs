//! Asking for a credential, and where it goes.

use std::path::Path;

use tonic::transport::Channel;
use zeroize::{Zeroize as _, Zeroizing};

use super::args::{Ask, Format, Issue, Kind};
use super::client::Context;
use super::credential;
use super::duration::{now, relative};
use super::failure::{Exit, Failure};
use super::files::Folder;
use super::text::clean_lines;
use super::{holder, request, wait};
use crate::domain::name::ActionName;
use crate::proto::v1;
use crate::proto::v1::credential_service_client::CredentialServiceClient;
use crate::proto::v1::issue_certificate_request::Key;

/// A credential with its secret part.
pub enum Minted {
    /// A certificate; its private key is empty when the caller has it.
    Certificate(v1::IssueCertificateResponse),
    /// A token.
    Token(v1::IssueTokenResponse),
}

/// Whose key the credential is bound to.
pub enum Holder {
    /// Certificate: the caller's request.
    Csr(Vec<u8>),
    /// Token: the DPoP key with this thumbprint.
    Dpop(String),
    /// Certificate: the broker makes the key.
    Generated,
    /// Certificate: a key made here. Token: a bearer token.
    Here,
}

impl Minted {
    /// The record.
    ///
    /// # Errors
    /// When the broker sent none.
    pub fn credential(&self) -> Result<&v1::Credential, Failure> {
        let record = match self {
            Self::Certificate(answer) => answer.credential.as_ref(),
            Self::Token(answer) => answer.credential.as_ref(),
        };
        record.ok_or_else(|| {
            Failure::new(Exit::Failed, "bad-answer", "the broker's answer has no record")
                .hint("compare the versions of hotwork and hotworkd (`hotwork status`)")
        })
    }

    /// The files it is written to, each with its content.
    pub fn files(&self) -> Vec<(&'static str, &str)> {
        let files = match self {
            Self::Certificate(answer) => vec![
                ("cert.pem", answer.certificate_pem.as_str()),
                ("key.pem", answer.private_key_pem.as_str()),
                ("ca.pem", answer.ca_pem.as_str()),
            ],
            Self::Token(answer) => vec![("token", answer.token.as_str())],
        };
        files.into_iter().filter(|(_, content)| !content.is_empty()).collect()
    }

    /// Writes the files.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn write(&self, folder: &Folder) -> Result<(), Failure> {
        self.files().into_iter().try_for_each(|(name, content)| folder.write(name, content.as_bytes()))
    }
}

impl Drop for Minted {
    fn drop(&mut self) {
        match self {
            Self::Certificate(answer) => answer.private_key_pem.zeroize(),
            Self::Token(answer) => answer.token.zeroize(),
        }
    }
}

/// Asks for a credential.
///
/// # Errors
/// When the broker refuses or can't be reached.
pub async fn mint(
    context: &Context,
    client: &mut CredentialServiceClient<Channel>,
    action: &ActionName,
    ask: &Ask,
    holder: Holder,
) -> Result<Minted, Failure> {
    let mut request = request::build(context, client, action, ask).await?;
    // One key for all tries: an approval is for the key, too.
    let kept = !matches!((ask.kind, &holder), (Kind::Cert, Holder::Generated | Holder::Here));
    let key = Prepared::new(ask.kind, holder)?;
    match key.mint(context, client, &request).await {
        Err(pending) if pending.exit == Exit::ApprovalPending => {
            let Some(most) =
                ask.wait.filter(|_| !matches!(key, Prepared::Certificate(Key::GenerateKey(_), _)))
            else {
                return Err(if kept { pending } else { keyless(pending) });
            };
            request.approval_id = pending.decision_id.clone();
            wait::until_approved(context, client, pending, most).await?;
            key.mint(context, client, &request).await
        }
        minted => minted,
    }
}

/// The key was made for this one try, and what is approved is the key's.
fn keyless(pending: Failure) -> Failure {
    pending.hint(
        "an approval is for one key, and this one is not kept: bring a request of your own key with --csr, or let the \
         command wait with --wait 10m",
    )
}

/// The holder's key in the form of the request.
enum Prepared {
    Certificate(Key, Option<Zeroizing<String>>),
    Token(Option<v1::KeyBinding>),
}

impl Prepared {
    fn new(kind: Kind, holder: Holder) -> Result<Self, Failure> {
        match kind {
            Kind::Token => Ok(Self::Token(match holder {
                Holder::Dpop(jkt) => Some(v1::KeyBinding { jkt, x5t_s256: String::new() }),
                Holder::Csr(_) | Holder::Generated | Holder::Here => None,
            })),
            Kind::Cert => certificate_key(holder).map(|(key, pem)| Self::Certificate(key, pem)),
        }
    }

    async fn mint(
        &self,
        context: &Context,
        client: &mut CredentialServiceClient<Channel>,
        request: &v1::ActionRequest,
    ) -> Result<Minted, Failure> {
        let request = Some(request.clone());
        match self {
            Self::Token(binding) => {
                let message = context.request(v1::IssueTokenRequest { request, binding: binding.clone() });
                Ok(Minted::Token(context.call(client.issue_token(message)).await?))
            }
            Self::Certificate(key, key_pem) => {
                let message =
                    context.request(v1::IssueCertificateRequest { request, key: Some(key.clone()) });
                let mut answer = context.call(client.issue_certificate(message)).await?;
                if let Some(key_pem) = key_pem {
                    answer.private_key_pem = key_pem.as_str().to_owned();
                }
                Ok(Minted::Certificate(answer))
            }
        }
    }
}

fn certificate_key(holder: Holder) -> Result<(Key, Option<Zeroizing<String>>), Failure> {
    match holder {
        Holder::Csr(der) => Ok((Key::CsrDer(der), None)),
        Holder::Generated => Ok((Key::GenerateKey(true), None)),
        Holder::Dpop(_) | Holder::Here => {
            let made = holder::local_key()?;
            Ok((Key::CsrDer(made.csr_der), Some(made.key_pem)))
        }
    }
}

/// `hotwork issue`.
///
/// # Errors
/// When the broker refuses, or the credential can't be written; then it is given back.
pub async fn run(context: &Context, args: &Issue) -> Result<(), Failure> {
    let holder = holder_of(args)?;
    // What would keep the files from being written is found before a credential is asked for.
    let folder = args.out.as_deref().map(|dir| prepare(dir, args.ask.kind)).transpose()?;
    let mut client = context.agent().await?;
    let minted = mint(context, &mut client, &args.action, &args.ask, holder).await?;
    let shown = deliver(context, &minted, folder.as_ref());
    if shown.is_err() {
        // Nobody has it, so nobody shall be able to use it.
        if let Ok(record) = minted.credential() {
            let _ = credential::give_back(context, &mut client, &record.id).await;
        }
    }
    shown
}

fn holder_of(args: &Issue) -> Result<Holder, Failure> {
    let token = args.ask.kind == Kind::Token;
    if token && (args.csr.is_some() || args.generate_key) {
        return Err(Failure::usage("--csr and --generate-key are for --kind cert"));
    }
    if !token && (args.dpop_key.is_some() || args.dpop_jkt.is_some()) {
        return Err(Failure::usage("--dpop-key and --dpop-jkt are for --kind token"));
    }
    if let Some(path) = &args.csr {
        return holder::read_csr(path).map(Holder::Csr);
    }
    if let Some(path) = &args.dpop_key {
        return holder::thumbprint(path).map(Holder::Dpop);
    }
    if let Some(jkt) = &args.dpop_jkt {
        return Ok(Holder::Dpop(jkt.to_string()));
    }
    Ok(if args.generate_key { Holder::Generated } else { Holder::Here })
}

fn prepare(dir: &Path, kind: Kind) -> Result<Folder, Failure> {
    let folder = Folder::open(dir)?;
    let names: &[&str] = match kind {
        Kind::Cert => &["cert.pem", "key.pem", "ca.pem"],
        Kind::Token => &["token"],
    };
    names.iter().try_for_each(|name| folder.check(name))?;
    Ok(folder)
}

fn deliver(context: &Context, minted: &Minted, folder: Option<&Folder>) -> Result<(), Failure> {
    let record = minted.credential()?;
    if let Some(folder) = folder {
        minted.write(folder)?;
    }
    let screen = &context.screen;
    if screen.format == Format::Table {
        let until = relative(record.expire_time.as_ref(), now());
        let what = super::text::clean(&format!("{} on {}", record.action, record.resource));
        screen.note(&format!("{} for {what}, ends {until}", super::text::clean(&record.id)));
    }
    let secret = |_: &_| match folder {
        Some(folder) => written(minted, folder),
        None => printed(minted),
    };
    let names = || vec![record.id.clone()];
    match minted {
        Minted::Certificate(answer) if folder.is_some() => {
            // The key is in its file; a copy in a pipe would only be one more to lose.
            let shown = v1::IssueCertificateResponse { private_key_pem: String::new(), ..answer.clone() };
            screen.show(&shown, names, secret)
        }
        Minted::Certificate(answer) => screen.show(answer, names, secret),
        Minted::Token(answer) => screen.show(answer, names, secret),
    }
}

fn written(minted: &Minted, folder: &Folder) -> String {
    let path = |name: &str| super::text::clean(&folder.path_of(name).to_string_lossy());
    minted.files().iter().map(|(name, _)| path(name) + "\n").collect()
}

/// The secret as it is used: one line of token, or the PEM blocks one after the other.
fn printed(minted: &Minted) -> String {
    let with_end = |text: &str| clean_lines(text.trim_end()) + "\n";
    minted.files().iter().map(|(_, content)| with_end(content)).collect()
}
